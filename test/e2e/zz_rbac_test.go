package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// Names of the service accounts of Teapot's programs; the manager's is also that of its Lease.
const (
	managersName = "teapot-manager"
	gatewaysName = "teapot-gateway"
)

// began is when this run of the tests did. What the manager asked for before, in an earlier run
// say, does not count.
var began = time.Now()

// right is one thing that a role allows, or that a request used: a verb on a resource, of one
// name or any.
type right struct {
	group, resource, verb, name string
}

func (r right) String() string {
	s := r.verb + " " + schema.GroupResource{Group: r.group, Resource: r.resource}.String()
	if r.name != "" {
		s += " " + r.name
	}
	return s
}

// TestRightsAreUsed compares what the manager and the gateway may do with what they did, as the
// audit log of the management cluster's API server has it. It comes last (Go runs the tests of a
// package by the names of their files), and is about a run of all tests: a right that it finds
// unused is either too much, or something that no test makes them do.
func TestRightsAreUsed(t *testing.T) {
	// A Lease is made once in the life of an installation, and may be older than the run.
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: managersNamespace, Name: managersName}}
	if err := management.Delete(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the manager to make its Lease anew", func(ctx context.Context) error {
		return management.Get(ctx, client.ObjectKeyFromObject(lease), lease)
	})

	replaceAGateway(t)

	for _, account := range []string{managersName, gatewaysName} {
		t.Run(account, func(t *testing.T) {
			allowed, err := rightsOf(t.Context(), account)
			if err != nil {
				t.Fatal(err)
			}
			if len(allowed) == 0 {
				t.Fatal("it has no rights")
			}
			used, refused, err := requestsOf(account)
			if err != nil {
				t.Fatal(err)
			}
			for _, request := range refused {
				t.Errorf("it was refused: %s", request)
			}
			for _, unused := range slices.DeleteFunc(allowed, func(r right) bool { return used[r] }) {
				t.Errorf("it may %s, and did not in this run", unused)
			}
		})
	}
}

// replaceAGateway ends a gateway and waits for the next: one lists the Leases once, when it starts, which
// may have been before the run.
func replaceAGateway(t *testing.T) {
	t.Helper()
	gateways := func(ctx context.Context) ([]corev1.Pod, error) {
		list := &corev1.PodList{}
		err := management.List(ctx, list, client.InNamespace(managersNamespace), client.MatchingLabels{teapotv1.ComponentLabel: "gateway"})
		return list.Items, err
	}
	before, err := gateways(t.Context())
	if err != nil || len(before) == 0 {
		t.Fatalf("there are %d gateways, %v", len(before), err)
	}
	if err := management.Delete(t.Context(), &before[0]); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "another gateway to be ready", func(ctx context.Context) error {
		now, err := gateways(ctx)
		if err != nil {
			return err
		}
		for _, pod := range now {
			isOld := slices.ContainsFunc(before, func(old corev1.Pod) bool { return old.UID == pod.UID })
			if !isOld && isReady(pod) {
				return nil
			}
		}
		return errors.New("none is")
	})
}

// rightsOf lists what the roles that are bound to a service account of Teapot's allow.
func rightsOf(ctx context.Context, account string) ([]right, error) {
	bindings, clusterBindings := &rbacv1.RoleBindingList{}, &rbacv1.ClusterRoleBindingList{}
	if err := errors.Join(management.List(ctx, bindings), management.List(ctx, clusterBindings)); err != nil {
		return nil, err
	}
	isAccounts := func(s rbacv1.Subject) bool {
		return s.Kind == rbacv1.ServiceAccountKind && s.Namespace == managersNamespace && s.Name == account
	}
	var rules []rbacv1.PolicyRule
	add := func(namespace string, reference rbacv1.RoleRef, subjects []rbacv1.Subject) error {
		if !slices.ContainsFunc(subjects, isAccounts) {
			return nil
		}
		if reference.Kind == "ClusterRole" {
			role := &rbacv1.ClusterRole{}
			err := management.Get(ctx, client.ObjectKey{Name: reference.Name}, role)
			rules = append(rules, role.Rules...)
			return err
		}
		role := &rbacv1.Role{}
		err := management.Get(ctx, client.ObjectKey{Namespace: namespace, Name: reference.Name}, role)
		rules = append(rules, role.Rules...)
		return err
	}
	for _, b := range bindings.Items {
		if err := add(b.Namespace, b.RoleRef, b.Subjects); err != nil {
			return nil, err
		}
	}
	for _, b := range clusterBindings.Items {
		if err := add("", b.RoleRef, b.Subjects); err != nil {
			return nil, err
		}
	}

	var rights []right
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						rights = append(rights, right{group, resource, verb, name})
					}
				}
			}
		}
	}
	return rights, nil
}

// auditEvent is what is read of a line of the audit log (audit.k8s.io/v1).
type auditEvent struct {
	RequestURI string
	Verb       string
	User       struct{ Username string }
	ObjectRef  *struct{ Resource, Subresource, APIGroup, Name string }
	// ResponseStatus has no code while a watch goes on.
	ResponseStatus struct{ Code int }
	// Annotations say what the authorizer decided. A request that it allows may be forbidden
	// all the same, by admission: in a namespace that is being deleted nothing can be made.
	Annotations              map[string]string
	RequestReceivedTimestamp time.Time
}

// requestsOf reads which rights a service account of Teapot's used in this run, and which requests
// of its were refused. Every right that was used is there for any name and for the one it was used
// on.
func requestsOf(account string) (used map[right]bool, refused []string, err error) {
	username := "system:serviceaccount:" + managersNamespace + ":" + account
	// With those that the API server has rotated away meanwhile.
	files, err := filepath.Glob(filepath.Join(filepath.Dir(state.FromEnvironment().Log("audit")), "audit*.log"))
	if err != nil {
		return nil, nil, err
	}
	if len(files) == 0 {
		return nil, nil, errors.New("there is no audit log")
	}
	used = map[right]bool{}
	for _, file := range files {
		log, err := os.Open(file)
		if err != nil {
			return nil, nil, err
		}
		defer log.Close()
		lines := bufio.NewScanner(log)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if !strings.Contains(lines.Text(), username) {
				continue
			}
			event := auditEvent{}
			if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
				continue // the last line may be half written
			}
			if event.User.Username != username || event.RequestReceivedTimestamp.Before(began) {
				continue
			}
			if event.Annotations["authorization.k8s.io/decision"] != "allow" {
				refused = append(refused, event.Verb+" "+event.RequestURI)
			}
			for _, r := range event.rights() {
				used[r] = true
				r.name = ""
				used[r] = true
			}
		}
		if err := lines.Err(); err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", file, err)
		}
	}
	return used, refused, nil
}

// rights are those that the API server asks for, or may ask for, to answer the request.
func (e auditEvent) rights() []right {
	if e.ObjectRef == nil {
		return nil // a path such as /version, which everybody may ask for
	}
	r := right{group: e.ObjectRef.APIGroup, resource: e.ObjectRef.Resource, verb: e.Verb, name: e.ObjectRef.Name}
	if e.ObjectRef.Subresource != "" {
		r.resource += "/" + e.ObjectRef.Subresource
	}
	rights := []right{r}
	also := func(verb string) {
		r.verb = verb
		rights = append(rights, r)
	}
	switch {
	case e.Verb == "patch" && e.ResponseStatus.Code == 201:
		also("create") // server-side apply of what was not there
		if r.group == teapotv1.GroupVersion.Group && r.resource == "hostmachinetemplates" {
			// The chart's admission policy asks whether who asks for what only an operator may, may.
			also("override")
		}
	case e.Verb == "watch" && strings.Contains(e.RequestURI, "sendInitialEvents=true"):
		also("list") // which is what API servers before v1.34 are asked for instead
	case e.Verb == "patch" && r.group == teapotv1.GroupVersion.Group && (r.resource == "tenantcontrolplanes" || r.resource == "workerpools"):
		// The chart's admission policy asks whether whoever removes a finalizer may.
		r.resource += "/finalizers"
		also("update")
	case e.Verb == "create" && r.group == teapotv1.GroupVersion.Group && r.resource == "machineclaims",
		e.Verb == "patch" && r.group == teapotv1.GroupVersion.Group && (r.resource == "machineclaims" || r.resource == "hostmachines"):
		// The chart's admission policies ask whether whoever names an owner, or writes Teapot's
		// annotations, finalizers or a provider id, may.
		also("override")
		if e.Verb == "create" {
			// API servers that guard blockOwnerDeletion ask for this of the owner.
			r.resource = "hostmachines/finalizers"
			also("update")
		}
	}
	return rights
}
