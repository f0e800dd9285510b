package chart

import (
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestRoles asks the API server what each role allows.
func TestRoles(t *testing.T) {
	admin := newClient(t, apiserver.Config(t))
	ensureNamespace(t, admin)
	for _, object := range render(t, "") {
		if object.GetKind() != "ClusterRole" {
			continue
		}
		create(t, admin, object)
		create(t, admin, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "test-" + object.GetName()},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: object.GetName()},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: object.GetName()}},
		})
	}
	const viewer, editor, operator, manager = "teapot-tenant-view", "teapot-tenant-edit", "teapot-operator", "teapot-manager"
	for _, tt := range []struct {
		verb, group, resource, subresource string
		allowed                            []string
	}{
		{"list", "teapot.dev", "tenantcontrolplanes", "", []string{viewer, editor, operator, manager}},
		{"create", "teapot.dev", "tenantcontrolplanes", "", []string{editor, operator}},
		{"delete", "teapot.dev", "tenantcontrolplanes", "", []string{editor, operator}},
		{"update", "teapot.dev", "tenantcontrolplanes", "", []string{editor, operator}},
		{"patch", "teapot.dev", "tenantcontrolplanes", "", []string{editor, operator, manager}},
		{"update", "teapot.dev", "tenantcontrolplanes", "scale", []string{editor, operator}},
		{"patch", "teapot.dev", "tenantcontrolplanes", "status", []string{manager}},
		{"update", "teapot.dev", "tenantcontrolplanes", "status", nil},
		{"update", "teapot.dev", "tenantcontrolplanes", "finalizers", []string{manager}},
		{"override", "teapot.dev", "tenantcontrolplanes", "", []string{operator}},
		{"get", "", "secrets", "", []string{manager}},
		{"create", "", "pods", "", nil},
		{"create", "", "pods", "exec", nil},
		{"create", "", "pods", "portforward", []string{operator}},
		{"get", "", "pods", "log", []string{operator}},
		{"create", "", "serviceaccounts", "token", nil},
		{"create", "rbac.authorization.k8s.io", "clusterrolebindings", "", nil},
		{"create", "rbac.authorization.k8s.io", "rolebindings", "", nil},
		{"impersonate", "", "users", "", nil},
		{"delete", "", "nodes", "", nil},
	} {
		for _, user := range []string{viewer, editor, operator, manager} {
			want := false
			for _, name := range tt.allowed {
				want = want || name == user
			}
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: user,
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: namespace, Verb: tt.verb, Group: tt.group, Resource: tt.resource, Subresource: tt.subresource,
				},
			}}
			// The authorizer hears of new roles by a watch.
			deadline := time.Now().Add(5 * time.Second)
			for {
				if err := admin.Create(t.Context(), review); err != nil {
					t.Fatal(err)
				}
				if review.Status.Allowed == want || time.Now().After(deadline) {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if review.Status.Allowed != want {
				t.Errorf("%s may %s %s.%s/%s: %v, want %v", user, tt.verb, tt.resource, tt.group, tt.subresource, review.Status.Allowed, want)
			}
		}
	}

	t.Run("a tenant", func(t *testing.T) {
		config := apiserver.Config(t)
		config.Impersonate = rest.ImpersonationConfig{UserName: editor}
		tenant := newClient(t, config)
		plane := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme"}}
		plane.Spec.Version = "v1.36.3"
		if err := tenant.Create(t.Context(), plane); err != nil {
			t.Fatal(err)
		}
		plane.Status.Version = "v1.36.3"
		if err := tenant.Status().Update(t.Context(), plane); !apierrors.IsForbidden(err) {
			t.Errorf("writing the status: got %v, want it forbidden", err)
		}
		if err := tenant.Delete(t.Context(), plane); err != nil {
			t.Error(err)
		}
	})
}
