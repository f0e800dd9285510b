package roles

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/internal/manifest"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// reader is a tenant in the namespaces of the examples, one after the other.
const reader = "a-reader-of-examples"

// metal3 is the group of hosts.
const metal3 = "metal3.io"

// forWhom is the line in an example's first comment that says who may apply it.
var forWhom = regexp.MustCompile(`(?m)^# for: (.*)$`)

// TestExamples: an operator may apply every example's objects of Teapot's, a tenant those of
// examples that are for tenants, and only those. Objects of other kinds are there already, or
// are somebody else's to make.
func TestExamples(t *testing.T) {
	as(t, operator) // the roles are there
	installClusterAPI(t)
	installHosts(t)
	admin := asAdmin(t)
	paths, err := filepath.Glob(filepath.Join(apiserver.Root(t), "examples", "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no examples (%v)", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			head, _, _ := strings.Cut(string(text), "\napiVersion:")
			said := forWhom.FindStringSubmatch(head)
			if said == nil || said[1] != "tenant" && said[1] != "operator" {
				t.Fatal("says nothing about who may apply it: begin it with a line `# for: tenant` or `# for: operator`")
			}
			objects, err := manifest.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			refusals := 0
			for _, object := range objects {
				id := object.GetKind() + " " + object.GetName()
				if object.GroupVersionKind().Group != teapotv1.GroupVersion.Group {
					if object.GetKind() == "Namespace" { // for those in it
						if err := admin.Create(t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
							t.Errorf("%s: %v", id, err)
						}
					} else if err := admin.Create(t.Context(), object.DeepCopy(), client.DryRunAll, strict); err != nil {
						t.Errorf("%s: %v", id, err)
					} else if object.GroupVersionKind().Group == metal3 {
						// Hosts, and who may claim them, are the operators' alone, wherever they are.
						bindOnce(t, admin, object.GetNamespace())
						if apierrors.IsForbidden(as(t, reader).Create(t.Context(), object, client.DryRunAll)) {
							refusals++
						}
					}
					continue
				}
				bindOnce(t, admin, object.GetNamespace())
				if err := as(t, operator).Create(t.Context(), object.DeepCopy(), client.DryRunAll, strict); err != nil {
					t.Errorf("%s as an operator: %v", id, err)
				}
				err := as(t, reader).Create(t.Context(), object.DeepCopy(), client.DryRunAll, strict)
				if said[1] == "tenant" && err != nil {
					t.Errorf("%s as a tenant: %v", id, err)
				}
				if apierrors.IsForbidden(err) {
					refusals++
				}
			}
			if said[1] == "operator" && refusals == 0 {
				t.Error("a tenant may apply it too: begin it with `# for: tenant`")
			}
		})
	}
}

// strict refuses unknown fields, as kubectl does.
const strict = client.FieldValidation("Strict")

// bindOnce makes the reader the tenant of a namespace.
func bindOnce(t *testing.T, admin client.Client, namespace string) {
	t.Helper()
	if allowed(t, admin, reader, "create", "tenantcontrolplanes.teapot.dev", namespace) {
		return
	}
	bind(t, admin, namespace, "teapot-tenant-edit", reader)
	await(t, "the tenant may work in namespace "+namespace, func() bool {
		return allowed(t, admin, reader, "create", "tenantcontrolplanes.teapot.dev", namespace)
	})
}
