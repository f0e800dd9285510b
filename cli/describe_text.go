package cli

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// described is what "describe" shows of one control plane.
type described struct {
	tcp     teapotv1.TenantControlPlane
	program string
	// namespace is the control plane's own, of pods and ownEvents.
	namespace  string
	showEvents bool

	// What could not be read has an error.
	pods                             []corev1.Pod
	events, ownEvents                []corev1.Event
	podsErr, eventsErr, ownEventsErr error
}

// messageWidth is where messages in tables are wrapped: with the columns before them, lines
// stay under some 130 characters.
const messageWidth = 76

// inAges is the style of what is read at once.
func inAges(now time.Time) style {
	return style{
		time:  func(t time.Time) string { return duration.HumanDuration(now.Sub(t)) },
		width: messageWidth,
	}
}

// text is the whole description.
func (d *described) text(now time.Time) string {
	age := inAges(now)
	w := &strings.Builder{}
	writeTable(w, "", d.facts(now))

	section := func(title string) { _, _ = fmt.Fprintf(w, "\n%s:\n", title) }
	if rows := d.hibernation(now); len(rows) > 0 {
		section("Hibernation")
		writeTable(w, "  ", rows)
	}
	section("Asked for (spec)")
	writeSpec(w, &d.tcp.Spec)
	section("Conditions")
	writeConditions(w, d.tcp.Status.Conditions, age)
	section("Pods in namespace " + d.namespace)
	writeRows(w, podRows(d.pods, age), "list pods", d.namespace, d.podsErr)
	if d.showEvents {
		section("Events of " + d.tcp.Name)
		writeRows(w, eventRows(d.events, age), "list events", d.tcp.Namespace, d.eventsErr)
		section("Events in namespace " + d.namespace)
		writeRows(w, eventRows(d.ownEvents, age), "list events", d.namespace, d.ownEventsErr)
	}
	return w.String()
}

// moment is a point in time in a description.
func moment(t metav1.Time) string { return t.UTC().Format(time.RFC3339) }

// identity is what is said of any object: its name, and since when it is there, or going.
func identity(object *metav1.ObjectMeta, now time.Time) [][]string {
	rows := [][]string{{"Name:", object.Name}, {"Namespace:", object.Namespace}}
	if !object.CreationTimestamp.IsZero() {
		rows = append(rows, []string{"Created:", fmt.Sprintf("%s (%s ago)", moment(object.CreationTimestamp), duration.HumanDuration(now.Sub(object.CreationTimestamp.Time)))})
	}
	if object.DeletionTimestamp != nil {
		rows = append(rows, []string{"Being deleted:", fmt.Sprintf("since %s (%s), kept by finalizers %s",
			moment(*object.DeletionTimestamp), duration.HumanDuration(now.Sub(object.DeletionTimestamp.Time)), strings.Join(object.Finalizers, ", "))})
	}
	return rows
}

// writeConditions writes all conditions.
func writeConditions(w io.Writer, conditions []metav1.Condition, s style) {
	if len(conditions) == 0 {
		_, _ = fmt.Fprintln(w, "  none yet: check that Teapot's manager runs")
		return
	}
	writeTable(w, "  ", conditionRows(conditions, s))
}

// writeRows writes a table, or one line that says why there is none.
func writeRows(w io.Writer, rows [][]string, right, namespace string, err error) {
	switch {
	case apierrors.IsForbidden(err):
		_, _ = fmt.Fprintf(w, "  not shown: %v\n", missingRightError{right: right, namespace: namespace})
	case err != nil:
		_, _ = fmt.Fprintf(w, "  not shown: %v\n", err)
	case len(rows) == 1:
		_, _ = fmt.Fprintln(w, "  none")
	default:
		writeTable(w, "  ", rows)
	}
}

// facts are what a glance is for.
func (d *described) facts(now time.Time) [][]string {
	tcp := &d.tcp
	rows := identity(&tcp.ObjectMeta, now)
	add := func(name, value string) { rows = append(rows, []string{name + ":", value}) }
	if tcp.Spec.Paused {
		add("Paused", "yes (spec.paused): nothing is done about it")
	}
	switch tcp.Status.Version {
	case tcp.Spec.Version:
		add("Version", tcp.Spec.Version)
	case "":
		add("Version", tcp.Spec.Version+" (does not run yet)")
	default:
		add("Version", tcp.Status.Version+", on its way to "+tcp.Spec.Version)
	}
	if endpoint := tcp.Status.Endpoint; endpoint == nil {
		add("Endpoint", "not known yet")
	} else {
		add("Endpoint", endpoint.URL)
		if endpoint.Address != endpoint.Host {
			add("Machines dial", net.JoinHostPort(endpoint.Address, strconv.Itoa(int(endpoint.Port))))
		}
		if endpoint.KonnectivityPort != 0 {
			add("Konnectivity", fmt.Sprintf("port %d", endpoint.KonnectivityPort))
		}
		if endpoint.GatewayURL != "" {
			add("Users dial", fmt.Sprintf("%s, the gateway, as %s", endpoint.GatewayURL, endpoint.GatewayServerName))
		}
	}
	add("Namespace of pods", d.namespace)
	asleep := ""
	if isSleeping(tcp) {
		asleep = ", since it sleeps"
	}
	add("Replicas", fmt.Sprintf("%d of %d ready%s", tcp.Status.ReadyReplicas, ptr.Deref(tcp.Spec.Replicas, 1), asleep))
	add("etcd members", fmt.Sprintf("%d of %d ready%s", tcp.Status.EtcdReadyMembers, max(tcp.Spec.Datastore.Etcd.Members, 1), asleep))
	if expire := tcp.Status.CertificatesExpire; expire != nil {
		when := "in " + duration.HumanDuration(expire.Sub(now))
		if !expire.After(now) {
			when = "expired"
		}
		add("Certificates expire", fmt.Sprintf("%s (%s), unless renewed", moment(*expire), when))
	}
	name := "Secrets:"
	for _, secret := range secretNames(tcp) {
		rows = append(rows, []string{name, secret[0] + " (" + secret[1] + ")"})
		name = ""
	}
	return rows
}

// writeSpec writes a spec as it is, defaults included, so that no field is forgotten.
func writeSpec(w io.Writer, spec any) {
	text, err := yaml.Marshal(spec)
	if err != nil {
		_, _ = fmt.Fprintf(w, "  not shown: %v\n", err)
		return
	}
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Fprint(w, "  "+line)
	}
}
