package roles

import (
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/controlplane"
)

// crossing is what reaches across the tenant boundary.
type crossing struct {
	name string
	// set is a field of a spec (YAML) that an operator may set and a tenant may not; other sets
	// it otherwise. To leave it out is the third way.
	set, other string
	// field is where the refusal points, below spec, and says what it says besides.
	field, says string
}

func crossings() []crossing {
	all := []crossing{
		{"a runtime class", "runtimeClassName: kata", "runtimeClassName: runc", "runtimeClassName", "it decides what keeps the pods apart"},
		{"nodes by their labels", "scheduling: {nodeSelector: {tenants: fast}}", "scheduling: {nodeSelector: {tenants: slow}}", "scheduling", "on which nodes of the management cluster"},
		{"nodes in spite of taints", "scheduling: {tolerations: [{operator: Exists}]}", "scheduling: {tolerations: [{key: a, operator: Exists}]}", "scheduling", "on which nodes of the management cluster"},
		{"how pods are spread", "scheduling: {topologyKeys: [zone]}", "scheduling: {topologyKeys: [rack]}", "scheduling", "on which nodes of the management cluster"},
		{"a priority", "scheduling: {priorityClassName: high}", "scheduling: {priorityClassName: system-node-critical}", "scheduling", "whom they push out"},
		{"scheduling of which a part is changed", "scheduling: {priorityClassName: high, topologyKeys: [zone]}", "scheduling: {priorityClassName: high}", "scheduling", "on which nodes of the management cluster"},
		{"other images", "imageRepository: mirror.example.org", "imageRepository: evil.example.org", "imageRepository", "it decides what code runs in the management cluster"},
		{"konnectivity off", "addons: {konnectivity: {enabled: false}}", "addons: {konnectivity: {enabled: true}}", "addons.konnectivity.enabled", "the API server's only way to the machines"},
		{"an address", "endpoint: {host: 192.0.2.7}", "endpoint: {host: 192.0.2.8}", "endpoint.host", "since the management cluster dials it; give a DNS name"},
		{"an address, then a name", "endpoint: {host: 192.0.2.7}", "endpoint: {host: api.example.org}", "endpoint.host", "since the management cluster dials it; give a DNS name"},
		{
			"an IPv6 address", `endpoint: {host: "2001:db8::7"}, network: {serviceCIDR: "fd00:96::/112", podCIDR: "fd00:244::/56"}`,
			`endpoint: {host: "2001:db8::8"}, network: {serviceCIDR: "fd00:96::/112", podCIDR: "fd00:244::/56"}`, "endpoint.host", "since the management cluster dials it; give a DNS name",
		},
	}
	// A flag that is on no list, but that the schema accepts.
	for component, flag := range map[string]string{
		"apiServer": "audit-log-path", "controllerManager": "concurrent-gc-syncs", "scheduler": "config", "etcd": "log-level", "konnectivityServer": "v",
	} {
		args := func(list string) string { return "components: {" + component + ": {extraArgs: [" + list + "]}}" }
		field := "components." + component + ".extraArgs"
		says := "to set, change or remove " + flag + " needs the verb override"
		first := "{name: " + flag + ", value: '1'}"
		all = append(all,
			crossing{"a flag of " + component, args(first), args("{name: " + flag + ", value: '2'}"), field, says},
			crossing{"a flag more of " + component, args(first), args(first + ", {name: zz, value: '1'}"), field, ""},
			crossing{"another flag of " + component, args(first), args("{name: zz, value: '1'}"), field, ""},
		)
	}
	return all
}

// TestWhatCrossesTheBoundary needs the verb override to be set, changed and removed, and
// nothing else does.
func TestWhatCrossesTheBoundary(t *testing.T) {
	byTenant, byOperator := as(t, tenant), as(t, operator)
	for _, kind := range kinds {
		for i, tt := range crossings() {
			t.Run(kind.name+"/"+tt.name, func(t *testing.T) {
				refused := func(doing string, err error) {
					t.Helper()
					wantRefused(t, doing, err, kind.spec+"."+tt.field+": ", tt.says, "needs the verb override on "+kind.resource, "leave it as it is, or ask an operator")
				}
				accepted := func(doing string, err error) {
					t.Helper()
					if err != nil {
						t.Errorf("%s: %v", doing, err)
					}
				}
				name := fmt.Sprintf("crossing-%d", i)
				object := kind.object(t, name, "")
				forget(t, object)
				replace := func(c client.Client, fields string) error {
					wanted := kind.object(t, name, fields)
					wanted.SetResourceVersion(object.GetResourceVersion())
					return c.Update(t.Context(), wanted, client.DryRunAll)
				}
				// Without the network, which cannot be changed.
				network := ""
				if _, after, found := strings.Cut(tt.set, ", network: "); found {
					network = "network: " + after
				}

				refused("a tenant creates it", byTenant.Create(t.Context(), kind.object(t, name, tt.set)))
				ordinary := kind.object(t, name, network)
				mustCreate(t, byTenant, ordinary)
				object = ordinary
				refused("a tenant adds it", replace(byTenant, tt.set))
				accepted("an operator adds it", replace(byOperator, tt.set))
				accepted("the tenant deletes one without", byTenant.Delete(t.Context(), ordinary))

				object = kind.object(t, name, tt.set)
				mustCreate(t, byOperator, object)
				accepted("a tenant replaces it by the same", replace(byTenant, tt.set))
				accepted("a tenant changes something else", replace(byTenant, tt.set+", deletionPolicy: Retain"))
				refused("a tenant changes it", replace(byTenant, tt.other))
				refused("a tenant removes it", replace(byTenant, network))
				accepted("an operator changes it", replace(byOperator, tt.other))
				accepted("an operator removes it", replace(byOperator, network))
				if kind == planes {
					accepted("a tenant scales it", byTenant.SubResource("scale").Patch(t.Context(), object.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec": {"replicas": 3}}`))))
				}
				accepted("a tenant deletes it", byTenant.Delete(t.Context(), object))
			})
		}
	}
}

// TestFlagsForTenants: each flag of the list may be set, changed and removed by a tenant, also
// beside one that an operator has set.
func TestFlagsForTenants(t *testing.T) {
	byTenant, byOperator := as(t, tenant), as(t, operator)
	for _, kind := range kinds {
		for component, flags := range controlplane.TenantExtraArgs {
			t.Run(kind.name+"/"+component, func(t *testing.T) {
				list := func(value string) string {
					args := []string{"{name: zz, value: '1'}"}
					for _, flag := range flags {
						// An https URL with a "=" is a value for every flag here, the issuer's and a claim's.
						args = append(args, "{name: "+flag+", value: 'https://example.org/a="+value+"'}")
					}
					return strings.Join(args, ", ")
				}
				fields := func(args string) string { return "components: {" + component + ": {extraArgs: [" + args + "]}}" }
				if len(flags) > 0 {
					_, only, _ := strings.Cut(list("1"), ", {")
					mustCreate(t, byTenant, kind.object(t, "flags", fields("{"+only)), client.DryRunAll)
				}
				object := kind.object(t, "flags", fields("{name: zz, value: '1'}"))
				forget(t, object)
				mustCreate(t, byOperator, object)
				for _, args := range []string{list("1"), list("2"), "{name: zz, value: '1'}"} {
					wanted := kind.object(t, "flags", fields(args))
					wanted.SetResourceVersion(object.GetResourceVersion())
					if err := byTenant.Update(t.Context(), wanted); err != nil {
						t.Fatalf("%s: %v", args, err)
					}
					object.SetResourceVersion(wanted.GetResourceVersion())
				}
			})
		}
	}
}

// TestOtherWaysToWrite: the boundary holds whichever way an object is written.
func TestOtherWaysToWrite(t *testing.T) {
	c := as(t, tenant)
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			object := kind.object(t, "ways", "")
			forget(t, object)
			mustCreate(t, c, object)
			body, path := `{"spec": {"runtimeClassName": "kata"}}`, "/spec/runtimeClassName"
			if kind == templates {
				body, path = `{"spec": {"template": {"spec": {"runtimeClassName": "kata"}}}}`, "/spec/template/spec/runtimeClassName"
			}
			generated := kind.object(t, "", "runtimeClassName: kata")
			generated.SetGenerateName("ways-")
			for way, err := range map[string]error{
				"a merge patch": c.Patch(t.Context(), object.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body))),
				"a JSON patch":  c.Patch(t.Context(), object.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(`[{"op": "add", "path": "`+path+`", "value": "kata"}]`))),
				"server-side apply": c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(kind.object(t, "ways", "runtimeClassName: kata")),
					client.FieldOwner("kubectl"), client.ForceOwnership),
				"server-side apply of a new object": c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(kind.object(t, "new", "runtimeClassName: kata")), client.FieldOwner("kubectl")),
				"a generated name":                  c.Create(t.Context(), generated),
			} {
				wantRefused(t, way, err, kind.spec+".runtimeClassName: ", "override")
			}
		})
	}
}

// TestATemplateWithoutSpec: it asks for nothing, and what is added to it counts.
func TestATemplateWithoutSpec(t *testing.T) {
	c := as(t, tenant)
	object := templates.object(t, "empty", "")
	unstructured.RemoveNestedField(object.Object, "spec", "template", "spec")
	forget(t, object)
	mustCreate(t, c, object)
	wanted := templates.object(t, "empty", "imageRepository: evil.example.org")
	wanted.SetResourceVersion(object.GetResourceVersion())
	wantRefused(t, "adding to it", c.Update(t.Context(), wanted), "spec.template.spec.imageRepository: ")
	object.SetLabels(map[string]string{"a": "b"})
	if err := c.Update(t.Context(), object); err != nil {
		t.Errorf("labelling it: %v", err)
	}
}

// TestOverrideForOneObject: the verb can be given for one control plane by its name.
func TestOverrideForOneObject(t *testing.T) {
	const trusted = "a-trusted-tenant"
	as(t, tenant) // the roles are there
	admin := asAdmin(t)
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "override-special"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"teapot.dev"}, Resources: []string{planes.resource}, Verbs: []string{"override"}, ResourceNames: []string{"special"}}},
	}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: trusted}}
	for _, object := range []client.Object{
		role,
		&rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}, Subjects: subjects},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "edit-trusted"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "teapot-tenant-edit"}, Subjects: subjects,
		},
	} {
		forget(t, object)
		mustCreate(t, admin, object)
	}
	c := as(t, trusted)
	await(t, "the trusted tenant may override for one", func() bool {
		err := c.Create(t.Context(), planes.object(t, "special", "runtimeClassName: kata"), client.DryRunAll)
		if err != nil && !apierrors.IsForbidden(err) {
			t.Fatal(err)
		}
		return err == nil
	})
	wantRefused(t, "for another", c.Create(t.Context(), planes.object(t, "ordinary", "runtimeClassName: kata"), client.DryRunAll), "spec.runtimeClassName: ")
}

// wantRefused wants an admission policy to have refused, with a sentence that has all the parts.
func wantRefused(t *testing.T, doing string, err error, parts ...string) {
	t.Helper()
	if !apierrors.IsForbidden(err) {
		t.Errorf("%s: got %v, want it forbidden", doing, err)
		return
	}
	for _, part := range append(parts, "ValidatingAdmissionPolicy") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %q, want a sentence with %q", doing, err, part)
		}
	}
}
