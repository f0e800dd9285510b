package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// "get" shows the table that the API server makes of the columns of the CRD; these are made by its own
// code.
func TestColumnsOfHibernation(t *testing.T) {
	text, err := os.ReadFile("../charts/teapot/files/crds/teapot.dev_tenantcontrolplanes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		t.Fatal(err)
	}
	columns := crd.Spec.Versions[0].AdditionalPrinterColumns
	convertor, err := tableconvertor.New(columns)
	if err != nil {
		t.Fatal(err)
	}
	threeHours := metav1.NewTime(time.Now().Add(-3*time.Hour - 10*time.Minute))
	for _, test := range []struct {
		name        string
		given       *teapotv1.TenantControlPlane
		plain, wide []string
	}{
		{"asleep until a schedule wakes it", hibernating(teapotv1.HibernationAsleep, "a schedule", func(tcp *teapotv1.TenantControlPlane) {
			tcp.Status.Hibernation = &teapotv1.HibernationStatus{
				Phase: teapotv1.HibernationAsleep, Since: &threeHours, Reason: "Schedule",
				NextChange: &teapotv1.HibernationChange{Time: metav1.NewTime(noon), Phase: teapotv1.HibernationAwake},
			}
		}), []string{"Ready=False", "Reason=Asleep", "State=Asleep", "Since=3h10m"}, []string{"State reason=Schedule", "Next change=2025-11-21T12:00:00Z", "To=Awake"}},
		{"awake, and nothing changes that", hibernating(teapotv1.HibernationAwake, "", func(tcp *teapotv1.TenantControlPlane) {
			tcp.Status.Hibernation.Since, tcp.Status.Hibernation.Reason = ptr.To(threeHours), "Awake"
		}), []string{"Ready=True", "Reason=Ready", "State=Awake", "Since=3h10m"}, []string{"State reason=Awake", "Next change=<nil>", "To=<nil>"}},
		{"nothing is known of it", controlPlane("acme"), []string{"Ready=<nil>", "Reason=<nil>", "State=<nil>", "Since=<nil>"}, []string{"State reason=<nil>", "Next change=<nil>", "To=<nil>"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(test.given)
			if err != nil {
				t.Fatal(err)
			}
			table, err := convertor.ConvertToTable(t.Context(), &unstructured.Unstructured{Object: content}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var plain, wide []string
			for i, definition := range table.ColumnDefinitions {
				cell := fmt.Sprintf("%s=%v", definition.Name, table.Rows[0].Cells[i])
				switch {
				case !slices.ContainsFunc(append(test.plain, test.wide...), func(want string) bool { return strings.HasPrefix(want, definition.Name+"=") }):
				case definition.Priority == 0:
					plain = append(plain, cell)
				default:
					wide = append(wide, cell)
				}
			}
			if diff := cmp.Diff([][]string{test.plain, test.wide}, [][]string{plain, wide}); diff != "" {
				t.Errorf("columns, and those of -o wide (-want +got):\n%s", diff)
			}
		})
	}
}
