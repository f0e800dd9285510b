package roles

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/render"
	"github.com/teapot-cloud/teapot/workers/host"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

// The users. Each holds one role.
const (
	viewer     = "a-viewer"                                           // teapot-tenant-view in the tenant's namespace
	tenant     = "a-tenant"                                           // teapot-tenant-edit in the tenant's namespace
	operator   = "an-operator"                                        // teapot-operator everywhere
	manager    = "system:serviceaccount:teapot-system:teapot-manager" // what the chart binds to it
	clusterAPI = "system:serviceaccount:capi-system:capi-manager"     // what Cluster API's role aggregates
	// kubeadmProvider is what the chart binds for Cluster API's kubeadm bootstrap provider.
	kubeadmProvider = "system:serviceaccount:capi-kubeadm-bootstrap-system:capi-kubeadm-bootstrap-manager"
	gateway         = "system:serviceaccount:teapot-system:teapot-gateway" // what the chart binds to it
)

var users = []string{viewer, tenant, operator, manager, clusterAPI, kubeadmProvider, gateway}

// The namespaces: the tenant's, that of its control plane's pods, and another tenant's.
const (
	tenantNamespace = "acme"
	podsNamespace   = "tcp-acme-4f62c5be"
	otherNamespace  = "globex"
)

// values are those that the chart is rendered with: its defaults, and image servers for machines.
const values = `admissionPolicy: {imageURLs: ["oci://registry.example.com/", "http://172.30.0.2:6385/images/"]}`

// deadline is for what the API server hears of by watches: roles and policies.
const deadline = 30 * time.Second

// kind is one of the kinds that tenants write.
type kind struct{ name, resource, spec string }

var (
	planes    = kind{"TenantControlPlane", "tenantcontrolplanes", "spec"}
	templates = kind{"TenantControlPlaneTemplate", "tenantcontrolplanetemplates", "spec.template.spec"}
	kinds     = []kind{planes, templates}
)

// object returns an object of the kind in the tenant's namespace, with fields of a control
// plane's spec (YAML, without braces).
func (k kind) object(t *testing.T, name, fields string) *unstructured.Unstructured {
	t.Helper()
	spec := "{version: v1.36.3, " + fields + "}"
	if k == templates {
		spec = "{template: {spec: {" + fields + "}}}"
	}
	object := &unstructured.Unstructured{}
	text := fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {namespace: %s, name: %q}, spec: %s}", teapotv1.GroupVersion, k.name, tenantNamespace, name, spec)
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if err := object.UnmarshalJSON(data); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return object
}

// as returns a user's client, once the chart's roles and policies are enforced.
func as(t *testing.T, user string) client.Client {
	t.Helper()
	admin := asAdmin(t)
	installed.Do(func() { install(t, admin) })
	config := apiserver.Config(t)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	return newClient(t, config)
}

// asAdmin returns the client of somebody who may do everything.
func asAdmin(t *testing.T) client.Client {
	t.Helper()
	return newClient(t, apiserver.Config(t))
}

func newClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, teapotv1.AddToScheme, host.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	config.QPS = -1
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var installed sync.Once

// install applies what of the chart says who may do what, binds the users, and waits until the
// API server enforces it all.
func install(t *testing.T, admin client.Client) {
	t.Helper()
	for _, name := range []string{tenantNamespace, otherNamespace, render.Namespace} {
		mustCreate(t, admin, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	mustCreate(t, admin, controlPlanes(podsNamespace))
	for _, object := range render.Objects(t, values) {
		switch object.GetKind() {
		case "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
			mustCreate(t, admin, object)
		}
		// Kubernetes' controller-manager would collect these into one role.
		if object.GetLabels()["cluster.x-k8s.io/aggregate-to-manager"] == "true" {
			bind(t, admin, "", object.GetName(), clusterAPI)
		}
	}
	bind(t, admin, tenantNamespace, "teapot-tenant-view", viewer)
	bind(t, admin, tenantNamespace, "teapot-tenant-edit", tenant)
	bind(t, admin, "", "teapot-operator", operator)

	for _, user := range users {
		if user == gateway {
			await(t, user+" may read Leases", func() bool { return allowed(t, admin, user, "list", "leases.coordination.k8s.io", "") })
			continue
		}
		await(t, user+" may read control planes", func() bool {
			return allowed(t, admin, user, "list", "tenantcontrolplanes.teapot.dev", tenantNamespace) ||
				allowed(t, admin, user, "get", "tenantcontrolplanes.teapot.dev", tenantNamespace)
		})
	}
	config := apiserver.Config(t)
	config.Impersonate.UserName = tenant
	probe := newClient(t, config)
	for _, kind := range kinds {
		await(t, "the policy for "+kind.resource+" is enforced", func() bool {
			err := probe.Create(t.Context(), kind.object(t, "probe", "runtimeClassName: kata"), client.DryRunAll)
			return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy")
		})
	}
	awaitMachinePolicies(t, probe)
}

// controlPlanes is a namespace of a control plane's pods, as the manager makes it.
func controlPlanes(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{teapotv1.ControlPlaneUIDAnnotation: "1"}}}
}

// bind gives a user a ClusterRole, in one namespace or everywhere.
func bind(t *testing.T, admin client.Client, namespace, role, user string) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: role + "-" + user}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	if namespace == "" {
		mustCreate(t, admin, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects})
		return
	}
	mustCreate(t, admin, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects})
}

// allowed asks the API server whether a user may do something to a resource, which is written
// resource.group/subresource.
func allowed(t *testing.T, admin client.Client, user, verb, resource, namespace string) bool {
	t.Helper()
	return allowedOn(t, admin, user, verb, resource, namespace, "")
}

// allowedOn asks about the object of a name; empty: about any.
func allowedOn(t *testing.T, admin client.Client, user, verb, resource, namespace, name string) bool {
	t.Helper()
	resource, subresource, _ := strings.Cut(resource, "/")
	resource, group, _ := strings.Cut(resource, ".")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource, Name: name,
		},
	}}
	if err := admin.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, deadline, true, func(context.Context) (bool, error) { return done(), nil })
	if err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

func mustCreate(t *testing.T, c client.Client, object client.Object, options ...client.CreateOption) {
	t.Helper()
	if err := c.Create(t.Context(), object, options...); err != nil {
		t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
}

// forget removes what a test made, whoever made it.
func forget(t *testing.T, object client.Object) {
	t.Helper()
	admin := asAdmin(t)
	t.Cleanup(func() {
		if err := admin.Delete(context.WithoutCancel(t.Context()), object); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}
