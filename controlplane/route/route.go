// Package route is what the shared gateway and the controllers tell one another about a control
// plane. It is kept on one small Lease in the control plane's own namespace: the controllers write
// where the API server is and whether it sleeps; the gateway writes when a user asked for it, and who
// is connected. The Lease is also the record of the decision to sleep.
package route

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// LeaseName is the name of the Lease. The gateway may write Leases of this name and nothing else.
const LeaseName = "gateway"

// ActivityEvery is how often a gateway tells at most of a control plane's users, and how often it
// asks at most to wake one.
const ActivityEvery = time.Minute

// activityStale is how long a gateway's word counts: one that runs tells of users each
// ActivityEvery, and one that has ended abruptly tells nothing.
const activityStale = 3 * ActivityEvery

// Route is the controllers' part.
type Route struct {
	// Owner is the TenantControlPlane.
	Owner types.NamespacedName
	// Host is the name under which users ask, in lower case. Empty: users come by the address.
	Host string
	// Backend is the address of the control plane's Service inside the management cluster.
	Backend netip.AddrPort
	// CertificateAuthority is the PEM of the certificate that the API server's is signed with.
	CertificateAuthority string
	// Decided says that the rest was decided before, Asleep what, and Since when.
	Decided bool
	Asleep  bool
	Since   time.Time
	// Reason is a word for what decided.
	Reason string
	// AsleepSince is when it was last decided that it sleeps; zero if never.
	AsleepSince time.Time
	// WakeOnRequest says whether a user's request wakes it.
	WakeOnRequest bool
}

// Activity is what one gateway pod knows of a control plane's users.
type Activity struct {
	// Connections is how many users' connections are open.
	Connections int `json:"connections"`
	// At is when this was so. With no connection it is when the last one ended.
	At time.Time `json:"at"`
}

// Annotations are the route's, to be applied to the Lease.
func (r Route) Annotations() map[string]string {
	annotations := map[string]string{
		teapotv1.GatewayStateAnnotation: string(teapotv1.HibernationAwake),
		teapotv1.GatewayWakeAnnotation:  strconv.FormatBool(r.WakeOnRequest),
	}
	if r.Asleep {
		annotations[teapotv1.GatewayStateAnnotation] = string(teapotv1.HibernationAsleep)
	}
	if r.Reason != "" {
		annotations[teapotv1.GatewayReasonAnnotation] = r.Reason
	}
	if r.Host != "" {
		annotations[teapotv1.GatewayHostAnnotation] = r.Host
	}
	if r.Backend.IsValid() {
		annotations[teapotv1.GatewayBackendAnnotation] = r.Backend.String()
	}
	if r.CertificateAuthority != "" {
		annotations[teapotv1.GatewayCAAnnotation] = r.CertificateAuthority
	}
	for key, at := range map[string]time.Time{
		teapotv1.GatewaySinceAnnotation: r.Since, teapotv1.GatewayAsleepSinceAnnotation: r.AsleepSince,
	} {
		if !at.IsZero() {
			annotations[key] = at.UTC().Format(time.RFC3339Nano)
		}
	}
	return annotations
}

// Read reads the route of a Lease. It fails for one that is not where the controllers put it, since
// a tenant may write Leases in namespaces of their own, and for one that cannot be read.
func Read(lease *coordinationv1.Lease) (Route, error) {
	r := Route{Owner: types.NamespacedName{
		Namespace: lease.Labels[teapotv1.ControlPlaneNamespaceLabel], Name: lease.Labels[teapotv1.ControlPlaneNameLabel],
	}}
	if lease.Name != LeaseName || lease.Namespace != controlplane.Namespace(r.Owner) {
		return Route{}, fmt.Errorf("Lease %s/%s is not that of control plane %s, which its labels name", lease.Namespace, lease.Name, r.Owner)
	}
	get := func(key string) string { return lease.Annotations[key] }
	r.Host = get(teapotv1.GatewayHostAnnotation)
	if r.Host != "" && !strings.HasPrefix(r.Host, r.Owner.Name+"."+r.Owner.Namespace+".") {
		return Route{}, fmt.Errorf("Lease %s/%s: annotation %s: %q is not a name of control plane %s", lease.Namespace, lease.Name, teapotv1.GatewayHostAnnotation, r.Host, r.Owner)
	}
	if backend := get(teapotv1.GatewayBackendAnnotation); backend != "" {
		parsed, err := netip.ParseAddrPort(backend)
		if err != nil {
			return Route{}, fmt.Errorf("Lease %s/%s: annotation %s: %w", lease.Namespace, lease.Name, teapotv1.GatewayBackendAnnotation, err)
		}
		r.Backend = parsed
	}
	r.CertificateAuthority = get(teapotv1.GatewayCAAnnotation)
	r.Decided = get(teapotv1.GatewayStateAnnotation) != ""
	r.Asleep = get(teapotv1.GatewayStateAnnotation) == string(teapotv1.HibernationAsleep)
	r.Reason = get(teapotv1.GatewayReasonAnnotation)
	r.WakeOnRequest = get(teapotv1.GatewayWakeAnnotation) == "true"
	for key, at := range map[string]*time.Time{
		teapotv1.GatewaySinceAnnotation: &r.Since, teapotv1.GatewayAsleepSinceAnnotation: &r.AsleepSince,
	} {
		if value := get(key); value != "" {
			parsed, err := time.Parse(time.RFC3339Nano, value)
			if err != nil {
				return Route{}, fmt.Errorf("Lease %s/%s: annotation %s: %w", lease.Namespace, lease.Name, key, err)
			}
			*at = parsed
		}
	}
	return r, nil
}

// WakeRequested is when a user last asked for a control plane that slept; zero if never.
func WakeRequested(lease *coordinationv1.Lease) time.Time {
	if lease.Spec.RenewTime == nil {
		return time.Time{}
	}
	return lease.Spec.RenewTime.Time
}

// Users adds up what the gateways told of a control plane's users: how many connections are open, and
// when there last was one (zero if nobody knows of one). Gateways that have not told anything for
// three minutes have no connections any more.
func Users(lease *coordinationv1.Lease, now time.Time) (connections int, last time.Time) {
	for _, activity := range activities(lease) {
		if activity.Connections > 0 && now.Sub(activity.At) < activityStale {
			connections += activity.Connections
		}
		if activity.At.After(last) {
			last = activity.At
		}
	}
	return connections, last
}

// StaleActivities are the annotations of gateways that have told nothing for so long that they
// must be gone, apart from the newest of all, which says when there last was a user.
func StaleActivities(lease *coordinationv1.Lease, now time.Time) []string {
	all := activities(lease)
	_, last := Users(lease, now)
	var stale []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if at := all[key].At; at.Before(last) && now.Sub(at) > activityStale {
			stale = append(stale, key)
		}
	}
	return stale
}

// activities are what gateways wrote, by annotation. What cannot be read is nobody's word.
func activities(lease *coordinationv1.Lease) map[string]Activity {
	found := map[string]Activity{}
	for key, value := range lease.Annotations {
		var activity Activity
		if strings.HasPrefix(key, teapotv1.GatewayActivityAnnotation) && json.Unmarshal([]byte(value), &activity) == nil {
			found[key] = activity
		}
	}
	return found
}
