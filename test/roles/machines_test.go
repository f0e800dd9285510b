package roles

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// machineKind is one of the machines' kinds that an admission policy guards.
type machineKind struct {
	name, resource, spec string
	// tried are the fields by which its policy refuses.
	tried []string
}

var (
	claims = machineKind{"MachineClaim", "machineclaims", "spec", []string{
		"spec.automatedCleaningMode", "spec.image.url", "metadata.finalizers", "metadata.ownerReferences", "metadata.annotations",
		"spec.userData.name", "spec.metaData.name", "spec.networkData.name",
	}}
	machines = machineKind{"HostMachine", "hostmachines", "spec", []string{
		"spec.automatedCleaningMode", "spec.image.url", "metadata.finalizers", "metadata.ownerReferences", "spec.providerID",
	}}
	machineTemplates = machineKind{"HostMachineTemplate", "hostmachinetemplates", "spec.template.spec", []string{
		"spec.template.spec.automatedCleaningMode", "spec.template.spec.image.url",
	}}
	pools = machineKind{"WorkerPool", "workerpools", "spec", []string{
		"spec.automatedCleaningMode", "spec.image.url", "metadata.finalizers",
	}}
	machineKinds = []machineKind{claims, machines, machineTemplates, pools}
)

func machineKindNames() (names []string) {
	for _, kind := range machineKinds {
		names = append(names, kind.name)
	}
	return names
}

// object returns an object of the kind in the tenant's namespace, with metadata beside name and
// namespace, and fields of its spec beside the image (YAML, without braces).
func (k machineKind) object(t *testing.T, name, metadata, fields string) *unstructured.Unstructured {
	t.Helper()
	spec := "{" + fields + "}"
	if !strings.Contains(fields, "image:") {
		spec = "{image: {url: 'oci://registry.example.com/node:v1.36.3'}, " + fields + "}"
	}
	switch k.name {
	case machineTemplates.name:
		spec = "{template: {spec: " + spec + "}}"
	case pools.name:
		spec = "{controlPlaneName: acme, version: v1.36.3, replicas: 3, " + strings.TrimPrefix(spec, "{")
	}
	text := fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {namespace: %s, name: %q, %s}, spec: %s}", teapotv1.GroupVersion, k.name, tenantNamespace, name, metadata, spec)
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(data); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return object
}

// awaitMachinePolicies waits until the policies about machines, and about the manager's Secrets,
// are enforced.
func awaitMachinePolicies(t *testing.T, byTenant client.Client) {
	t.Helper()
	for _, kind := range machineKinds {
		await(t, "the policy for "+kind.resource+" is enforced", func() bool {
			err := byTenant.Create(t.Context(), kind.object(t, "probe", "", "automatedCleaningMode: disabled"), client.DryRunAll)
			return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy")
		})
	}
	await(t, "the policy for the manager's Secrets is enforced", func() bool {
		err := impersonating(t, manager).Create(t.Context(), secret(tenantNamespace, "probe", nil), client.DryRunAll)
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy")
	})
}

// TestWhatRolesGrantOnMachines: hosts, their policies and what is beside them are nobody's but the
// operator's and, as far as it needs, the manager's.
func TestWhatRolesGrantOnMachines(t *testing.T) {
	const (
		claims           = "machineclaims.teapot.dev"
		machines         = "hostmachines.teapot.dev"
		templates        = "hostmachinetemplates.teapot.dev"
		pools            = "workerpools.teapot.dev"
		clusters         = "tenantclusters.teapot.dev"
		clusterTemplates = "tenantclustertemplates.teapot.dev"
		hosts            = "baremetalhosts.metal3.io"
		policies         = "hostdeploypolicies.metal3.io"
	)
	grants := []grant{
		{claims, []string{"get", "list", "watch"}, and(everywhere(operator, manager), viewer, tenant)},
		{claims, []string{"create", "patch", "delete"}, and(everywhere(operator, manager), tenant)},
		{claims, []string{"update", "deletecollection"}, and(everywhere(operator), tenant)},
		{claims, []string{"override"}, everywhere(operator, manager)},
		{claims + "/finalizers", []string{"update"}, nil},

		{machines, []string{"get", "list", "watch"}, and(everywhere(operator, manager, clusterAPI), viewer, tenant)},
		{machines, []string{"create", "update"}, and(everywhere(operator, clusterAPI), tenant)},
		{machines, []string{"patch", "delete"}, and(everywhere(operator, manager, clusterAPI), tenant)},
		{machines, []string{"deletecollection"}, and(everywhere(operator), tenant)},
		{machines, []string{"override"}, everywhere(operator, manager, clusterAPI)},
		{machines + "/finalizers", []string{"update"}, everywhere(manager)},

		{templates, []string{"get", "list", "watch"}, and(everywhere(operator, manager, clusterAPI), viewer, tenant)},
		{templates, []string{"create", "patch", "delete"}, and(everywhere(operator, manager, clusterAPI), tenant)},
		{templates, []string{"update"}, and(everywhere(operator, clusterAPI), tenant)},
		{templates, []string{"deletecollection"}, and(everywhere(operator), tenant)},
		{templates, []string{"override"}, everywhere(operator, manager)},

		{pools, []string{"get"}, and(everywhere(operator), viewer, tenant)},
		{pools, []string{"list", "watch"}, and(everywhere(operator, manager), viewer, tenant)},
		{pools, []string{"create", "update", "delete", "deletecollection"}, and(everywhere(operator), tenant)},
		{pools, []string{"patch"}, and(everywhere(operator, manager), tenant)},
		{pools, []string{"override"}, everywhere(operator)},
		{pools + "/finalizers", []string{"update"}, everywhere(manager)},
		{pools + "/scale", []string{"get"}, and(everywhere(operator), viewer, tenant)},
		{pools + "/scale", []string{"update", "patch"}, and(everywhere(operator), tenant)},

		{clusters, []string{"get", "list", "watch"}, and(everywhere(operator, manager, clusterAPI), viewer, tenant)},
		{clusters, []string{"create"}, and(everywhere(operator, manager, clusterAPI), tenant)},
		{clusters, []string{"update", "patch", "delete"}, and(everywhere(operator, clusterAPI), tenant)},
		{clusters, []string{"deletecollection"}, and(everywhere(operator), tenant)},
		{clusterTemplates, []string{"get", "list", "watch"}, and(everywhere(operator, clusterAPI), viewer, tenant)},
		{clusterTemplates, []string{"create", "update", "patch", "delete"}, and(everywhere(operator, clusterAPI), tenant)},

		{hosts, []string{"get", "list", "watch"}, everywhere(operator, manager)},
		{hosts, []string{"patch"}, everywhere(manager)},
		{hosts, []string{"create", "update", "delete", "deletecollection"}, nil},
		{hosts + "/status", []string{"get", "update", "patch"}, nil},
		{policies, []string{"get"}, everywhere(operator)},
		{policies, []string{"list", "watch"}, everywhere(operator, manager)},
		{policies, []string{"create", "update", "patch", "delete"}, nil},
		{"hostclaims.metal3.io", []string{"get", "create", "update", "patch"}, nil},
		{"kubeadmconfigs.bootstrap.cluster.x-k8s.io", []string{"get"}, everywhere(manager)},
		{"kubeadmconfigs.bootstrap.cluster.x-k8s.io", []string{"list", "watch", "create", "update", "patch"}, nil},
	}
	for _, resource := range []string{claims, machines, templates, clusters, pools} {
		grants = append(grants,
			grant{resource + "/status", []string{"get"}, and(everywhere(operator), viewer, tenant)},
			grant{resource + "/status", []string{"patch"}, everywhere(manager)},
			grant{resource + "/status", []string{"update"}, nil},
		)
	}
	wantGrants(t, grants)
}

// TestATenantsMachines: all that somebody who holds only teapot-tenant-edit does with machines.
func TestATenantsMachines(t *testing.T) {
	c := as(t, tenant)
	for _, kind := range machineKinds {
		t.Run(kind.name, func(t *testing.T) {
			object := kind.object(t, "day", "labels: {team: a}, annotations: {example.org/a: b}, finalizers: [example.org/mine]",
				"hardware: {memory: 64Gi}, hostSelector: {matchLabels: {rack: a}}, automatedCleaningMode: metadata")
			forget(t, object)
			mustCreate(t, c, object)
			for what, body := range map[string]string{
				"labels and annotations":      `{"metadata": {"labels": {"team": "b"}, "annotations": {"example.org/a": "c", "cluster.x-k8s.io/paused": ""}}}`,
				"an owner of one's own":       `{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"}]}}`,
				"a finalizer and owner fewer": `{"metadata": {"finalizers": null, "ownerReferences": null}}`,
			} {
				if err := c.Patch(t.Context(), object.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body))); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := c.Patch(t.Context(), object.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`))); err != nil {
				t.Errorf("no finalizer: %v", err)
			}
			if err := c.Delete(t.Context(), object); err != nil {
				t.Errorf("deleting it: %v", err)
			}
		})
	}
}

// TestUncleanedHosts: to switch cleaning off needs the verb override, and nobody without it can
// undo what somebody with it has set.
func TestUncleanedHosts(t *testing.T) {
	byTenant, byOperator := as(t, tenant), as(t, operator)
	for _, kind := range machineKinds {
		t.Run(kind.name, func(t *testing.T) {
			refused := func(doing string, err error) {
				t.Helper()
				wantRefused(t, doing, err, kind.spec+".automatedCleaningMode: to switch cleaning off, or on again, needs the verb override on "+kind.resource, "leave it as it is, or ask an operator")
			}
			wanted := func(fields string) *unstructured.Unstructured { return kind.object(t, "kept", "", fields) }
			refused("a tenant creates it", byTenant.Create(t.Context(), wanted("automatedCleaningMode: disabled")))
			refused("a tenant applies it", byTenant.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(wanted("automatedCleaningMode: disabled")), client.FieldOwner("kubectl")))

			object := wanted("automatedCleaningMode: disabled")
			forget(t, object)
			mustCreate(t, byOperator, object)
			if err := byTenant.Patch(t.Context(), object, merge(`{"metadata": {"labels": {"a": "b"}}}`)); err != nil {
				t.Errorf("a tenant changes something else: %v", err)
			}
			// In the others it cannot be changed by anybody.
			if kind.name == machineTemplates.name || kind.name == pools.name {
				mode := func(c client.Client, value string) error {
					spec := `{"automatedCleaningMode": ` + value + `}`
					if kind.name == machineTemplates.name {
						spec = `{"template": {"spec": ` + spec + `}}`
					}
					return c.Patch(t.Context(), object, merge(`{"spec": `+spec+`}`))
				}
				refused("a tenant changes it", mode(byTenant, `"metadata"`))
				refused("a tenant removes it", mode(byTenant, "null"))
				if err := mode(byOperator, "null"); err != nil {
					t.Errorf("an operator removes it: %v", err)
				}
				refused("a tenant sets it", mode(byTenant, `"disabled"`))
			}
			if err := byTenant.Delete(t.Context(), object); err != nil {
				t.Errorf("a tenant deletes it: %v", err)
			}
		})
	}
	disabled := func(kind machineKind) client.Object {
		return kind.object(t, "copied", "", "automatedCleaningMode: disabled")
	}
	mustCreate(t, as(t, manager), disabled(claims), client.DryRunAll)
	mustCreate(t, as(t, manager), machineTemplates.object(t, "copied", madeByTeapot, "automatedCleaningMode: disabled"), client.DryRunAll)
	mustCreate(t, as(t, clusterAPI), disabled(machines), client.DryRunAll)
	wantRefused(t, "Cluster API makes a template for a ClusterClass", as(t, clusterAPI).Create(t.Context(), disabled(machineTemplates)), "needs the verb override")
}

// TestMachinesOfClusterAPI: what its core controllers do with infrastructure.
func TestMachinesOfClusterAPI(t *testing.T) {
	c := as(t, clusterAPI)
	machine := machines.object(t, "of-a-cluster", ownedBy("cluster.x-k8s.io/v1beta2", "Machine", "of-a-cluster", "1"), "")
	forget(t, machine)
	mustCreate(t, c, machine)
	// A Machine that takes over an object of a person's, and gives it to another.
	machine.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "cluster.x-k8s.io/v1beta2", Kind: "MachineSet", Name: "b", UID: "2"}})
	if err := c.Update(t.Context(), machine); err != nil {
		t.Errorf("another owner: %v", err)
	}
	if err := c.Delete(t.Context(), machine); err != nil {
		t.Errorf("deleting it: %v", err)
	}
	for _, kind := range []string{"TenantCluster", "TenantClusterTemplate"} {
		object := machineKind{name: kind}.object(t, "of-a-cluster", ownedBy("cluster.x-k8s.io/v1beta2", "Cluster", "a", "1"), "")
		object.Object["spec"] = map[string]any{}
		if kind == "TenantClusterTemplate" {
			object.Object["spec"] = map[string]any{"template": map[string]any{}}
		}
		mustCreate(t, c, object, client.DryRunAll)
	}
	wantForbidden(t, "a claim", c.Create(t.Context(), claims.object(t, "of-a-cluster", "", "")))
}

// ownedBy is metadata (YAML) with an owner.
func ownedBy(apiVersion, kind, name, uid string) string {
	return fmt.Sprintf("ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: %q}]", apiVersion, kind, name, uid)
}

func wantForbidden(t *testing.T, doing string, err error) {
	t.Helper()
	if !apierrors.IsForbidden(err) {
		t.Errorf("%s: got %v, want it forbidden", doing, err)
	}
}
