package roles

import (
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/client-go/discovery"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/render"
)

// rendered returns the chart's objects of a kind.
func rendered[T any](t *testing.T, kind string) []T {
	t.Helper()
	var found []T
	for _, object := range render.Objects(t, values) {
		if object.GetKind() != kind {
			continue
		}
		var typed T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true); err != nil {
			t.Fatalf("%s %s: %v", kind, object.GetName(), err)
		}
		found = append(found, typed)
	}
	if len(found) == 0 {
		t.Fatalf("the chart renders no %s", kind)
	}
	return found
}

// TestPoliciesTypeCheck as Kubernetes' controller-manager does for status.typeChecking, which
// does not run here. Types of variables are checked too, which it does not.
func TestPoliciesTypeCheck(t *testing.T) {
	installHosts(t)
	installClusterAPI(t)
	mapper := asAdmin(t).RESTMapper()
	schemas := &resolver.ClientDiscoveryResolver{Discovery: discovery.NewDiscoveryClientForConfigOrDie(apiserver.Config(t))}
	for _, name := range append([]string{planes.name, templates.name}, machineKindNames()...) {
		await(t, "the API server publishes the schema of "+name, func() bool {
			_, err := schemas.ResolveSchema(teapotv1.GroupVersion.WithKind(name))
			return err == nil
		})
	}
	checker := &validating.TypeChecker{SchemaResolver: schemas, RestMapper: mapper}
	for _, policy := range rendered[admissionv1.ValidatingAdmissionPolicy](t, "ValidatingAdmissionPolicy") {
		t.Run(policy.Name, func(t *testing.T) {
			for _, warning := range checker.Check(&policy) {
				t.Errorf("%s: %s", warning.FieldRef, warning.Warning)
			}
			types := checker.CreateContext(&policy)
			for _, variable := range policy.Spec.Variables {
				if results := checker.CheckExpression(types, variable.Expression); len(results) > 0 {
					t.Errorf("variable %s: %s", variable.Name, results)
				}
			}
			if results := checker.CheckExpression(types, "object.spec.nothingOfThatName == 1"); len(results) == 0 {
				t.Error("an expression with an unknown field passes, so types are not checked")
			}
		})
	}
}

// TestEveryRuleIsTried: what a policy refuses is in the tables of this package.
func TestEveryRuleIsTried(t *testing.T) {
	tried := map[string][]string{}
	for _, kind := range kinds {
		for _, crossing := range crossings() {
			tried[kind.resource] = append(tried[kind.resource], kind.spec+"."+crossing.field)
		}
	}
	tried[planes.resource] = append(tried[planes.resource],
		"metadata.finalizers", "metadata.ownerReferences") // TestTheManagersFinalizer, TestATenantCannotChooseACluster
	for _, kind := range machineKinds {
		tried[kind.resource] = kind.tried
	}
	tried["secrets"] = []string{"metadata.labels"}                                               // TestTheManagerAndSecrets
	tried["baremetalhosts"] = []string{"spec.bmc", "spec.online"}                                // TestTheManagerAndHosts, TestPowerOfAHeldHost
	tried["clusters"] = []string{"spec.controlPlaneRef", "metadata.labels"}                      // TestAClusterTakesNoControlPlane, TestAClusterDoesNotPose, TestTheManagerPausesClusters
	tried["machinedeployments"] = []string{"metadata.labels"}                                    // TestTheManagerAndClusterAPI
	tried["leases"] = []string{"metadata.namespace", "metadata.annotations", "metadata", "spec"} // TestTheGateway
	for _, policy := range rendered[admissionv1.ValidatingAdmissionPolicy](t, "ValidatingAdmissionPolicy") {
		for _, validation := range policy.Spec.Validations {
			field, _, _ := strings.Cut(strings.TrimPrefix(validation.Message+validation.MessageExpression, "'"), ":")
			if !slices.Contains(tried[policy.Spec.MatchConstraints.ResourceRules[0].Resources[0]], field) {
				t.Errorf("policy %s refuses by %q, and no test does what it refuses", policy.Name, field)
			}
		}
	}
}

// TestUserRoles grant nothing on Secrets, nothing by a wildcard, and take part in no
// aggregation: what they grant is what is written in them.
func TestUserRoles(t *testing.T) {
	names := []string{"teapot-tenant-view", "teapot-tenant-edit", "teapot-operator"}
	for _, role := range rendered[rbacv1.ClusterRole](t, "ClusterRole") {
		for label := range role.Labels {
			if strings.HasPrefix(label, "rbac.authorization.k8s.io/") {
				t.Errorf("%s is aggregated to other roles by the label %s", role.Name, label)
			}
		}
		i := slices.Index(names, role.Name)
		if i < 0 {
			continue
		}
		names = slices.Delete(names, i, i+1)
		if role.AggregationRule != nil {
			t.Errorf("%s aggregates other roles", role.Name)
		}
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				if resource, _, _ = strings.Cut(resource, "/"); resource == "secrets" {
					t.Errorf("%s grants %v on Secrets", role.Name, rule.Verbs)
				}
			}
			if all := slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs); slices.Contains(all, "*") {
				t.Errorf("%s has a wildcard: %v", role.Name, rule)
			}
		}
	}
	if len(names) > 0 {
		t.Errorf("the chart renders no ClusterRole %v", names)
	}
}
