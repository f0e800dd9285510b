package roles

import (
	"fmt"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// madeByTeapot is the metadata (YAML) by which the manager is known to have made an object.
const madeByTeapot = "labels: {app.kubernetes.io/managed-by: teapot}"

// The objects of Cluster API that a pool becomes, as little of them as its schemas want.
var (
	cluster = apiObject{"cluster.x-k8s.io/v1beta2", "Cluster", "{infrastructureRef: {apiGroup: teapot.dev, kind: TenantCluster, name: a}}"}

	poolObjects = []apiObject{
		{"cluster.x-k8s.io/v1beta2", "MachineDeployment", "{clusterName: a, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {" +
			"clusterName: a, bootstrap: {dataSecretName: a}, infrastructureRef: {apiGroup: teapot.dev, kind: HostMachineTemplate, name: a}}}}"},
		{"cluster.x-k8s.io/v1beta2", "MachineHealthCheck", "{clusterName: a, selector: {matchLabels: {a: b}}}"},
		{"bootstrap.cluster.x-k8s.io/v1beta2", "KubeadmConfigTemplate", "{template: {spec: {preKubeadmCommands: [sysctl --system]}}}"},
		{"teapot.dev/v1alpha1", "HostMachineTemplate", "{template: {spec: {image: {url: 'oci://registry.example.com/node:v1.36.3'}}}}"},
	}
	tenantCluster = apiObject{"teapot.dev/v1alpha1", "TenantCluster", "{}"}
)

type apiObject struct{ apiVersion, kind, spec string }

// object returns one in the tenant's namespace, with metadata (YAML) beside name and namespace.
func (o apiObject) object(t *testing.T, name, metadata string) *unstructured.Unstructured {
	t.Helper()
	text := fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {namespace: %s, name: %q, %s}, spec: %s}", o.apiVersion, o.kind, tenantNamespace, name, metadata, o.spec)
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

// installClusterAPI installs the CRDs of Cluster API and of its kubeadm bootstrap provider.
func installClusterAPI(t *testing.T) {
	t.Helper()
	clusterAPIInstalled.Do(func() {
		if err := apiserver.InstallUpstream(apiserver.Config(t), apiserver.ClusterAPICRDs, apiserver.KubeadmBootstrapCRDs); err != nil {
			t.Fatal(err)
		}
	})
}

var clusterAPIInstalled sync.Once

// TestWhatRolesGrantOnClusterAPI: tenants look at it, and delete a Machine, which their pool then
// replaces. All else is for others to grant: who writes Machines can read every Secret of the
// namespace on one.
func TestWhatRolesGrantOnClusterAPI(t *testing.T) {
	const group = ".cluster.x-k8s.io"
	var grants []grant
	for _, resource := range []string{"machinedeployments", "machinehealthchecks"} {
		grants = append(grants,
			grant{resource + group, []string{"get", "list", "watch"}, and(everywhere(operator, manager), viewer, tenant)},
			grant{resource + group, []string{"create", "patch", "delete"}, everywhere(manager)},
			grant{resource + group, []string{"update", "deletecollection"}, nil},
			grant{resource + group + "/status", []string{"update", "patch"}, nil},
		)
	}
	wantGrants(t, append(grants, []grant{
		{"clusters" + group, []string{"get", "list", "watch"}, and(everywhere(operator, manager), viewer, tenant)},
		{"clusters" + group, []string{"create", "patch", "delete"}, everywhere(manager)},
		{"clusters" + group, []string{"update", "deletecollection"}, nil},
		{"machinesets" + group, []string{"get", "watch"}, and(everywhere(operator), viewer, tenant)},
		{"machinesets" + group, []string{"list"}, and(everywhere(operator, manager), viewer, tenant)},
		{"machinesets" + group, []string{"create", "update", "patch", "delete"}, nil},
		{"machines" + group, []string{"get"}, and(everywhere(operator), viewer, tenant)},
		{"machines" + group, []string{"list", "watch"}, and(everywhere(operator, manager), viewer, tenant)},
		{"machines" + group, []string{"delete"}, and(everywhere(operator, manager), tenant)},
		{"machines" + group, []string{"patch"}, everywhere(manager)},
		{"machines" + group, []string{"create", "update", "deletecollection"}, nil},
		{"kubeadmconfigtemplates.bootstrap" + group, []string{"get", "list", "watch", "create", "patch", "delete"}, everywhere(manager)},
		{"kubeadmconfigtemplates.bootstrap" + group, []string{"update", "deletecollection"}, nil},
	}...))
}

// TestATenantsPools: what somebody who holds only teapot-tenant-edit does with a pool.
func TestATenantsPools(t *testing.T) {
	c := as(t, tenant)
	pool := pools.object(t, "days", "", "")
	forget(t, pool)
	mustCreate(t, c, pool)
	for what, body := range map[string]string{
		"other machines":     `{"spec": {"version": "v1.35.4", "image": {"url": "oci://registry.example.com/node:v1.35.4"}, "hardware": {"memory": "64Gi"}}}`,
		"labels and taints":  `{"spec": {"labels": {"a": "b"}, "taints": [{"key": "a", "effect": "NoSchedule"}]}}`,
		"autoscaling":        `{"spec": {"replicas": null, "autoscaling": {"minReplicas": 0, "maxReplicas": 3}}}`,
		"no autoscaling":     `{"spec": {"replicas": 1, "autoscaling": null}}`,
		"files and commands": `{"spec": {"bootstrap": {"files": [{"path": "/etc/a", "content": "b"}], "preKubeadmCommands": ["c"]}}}`,
		"paused":             `{"spec": {"paused": true}}`,
	} {
		if err := c.Patch(t.Context(), pool.DeepCopy(), merge(body)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	// The last patch above may have been to autoscaling: maps have no order.
	if err := c.Patch(t.Context(), pool.DeepCopy(), merge(`{"spec": {"replicas": 1, "autoscaling": null}}`)); err != nil {
		t.Fatal(err)
	}
	if err := c.SubResource("scale").Patch(t.Context(), pool, merge(`{"spec": {"replicas": 5}}`)); err != nil {
		t.Errorf("scaling: %v", err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
		t.Fatal(err)
	}
	if replicas, _, _ := unstructured.NestedInt64(pool.Object, "spec", "replicas"); replicas != 5 {
		t.Errorf("after scaling to 5, spec.replicas is %d", replicas)
	}
	wantForbidden(t, "writing the status", c.Status().Patch(t.Context(), pool.DeepCopy(), merge(`{"status": {"replicas": 5}}`)))
	wantForbidden(t, "making what a pool is made of", c.Create(t.Context(), poolObjects[0].object(t, "days", madeByTeapot)))
	if err := c.Delete(t.Context(), pool); err != nil {
		t.Errorf("deleting it: %v", err)
	}
}

// TestTheManagerAndPools: it writes their finalizer, owner and status, and never their spec's
// crossings.
func TestTheManagerAndPools(t *testing.T) {
	c := as(t, manager)
	pool := pools.object(t, "managed", "", "automatedCleaningMode: disabled, image: {url: 'oci://elsewhere.example.com/node'}")
	forget(t, pool)
	mustCreate(t, as(t, operator), pool)
	for what, body := range map[string]string{
		"its finalizer": `{"metadata": {"finalizers": ["teapot.dev/worker-pool"]}}`,
		"its owner":     `{"metadata": {"ownerReferences": [{"apiVersion": "teapot.dev/v1alpha1", "kind": "TenantControlPlane", "name": "acme", "uid": "1"}]}}`,
		"no finalizer":  `{"metadata": {"finalizers": null}}`,
	} {
		if err := c.Patch(t.Context(), pool.DeepCopy(), merge(body)); err != nil {
			t.Errorf("writing %s: %v", what, err)
		}
	}
	if err := c.Status().Patch(t.Context(), pool.DeepCopy(), merge(`{"status": {"replicas": 3}}`)); err != nil {
		t.Errorf("writing its status: %v", err)
	}
	wantRefused(t, "having its hosts cleaned", c.Patch(t.Context(), pool.DeepCopy(), merge(`{"spec": {"automatedCleaningMode": "metadata"}}`)), "needs the verb override on workerpools")
	wantForbidden(t, "making one", c.Create(t.Context(), pools.object(t, "not-made", "", "")))
	wantForbidden(t, "deleting one", c.Delete(t.Context(), pool.DeepCopy()))
}

// TestTheManagerAndClusterAPI: of the objects that people who know Cluster API write themselves, the
// manager writes and deletes its own alone, whatever name somebody gave theirs.
func TestTheManagerAndClusterAPI(t *testing.T) {
	c, admin := as(t, manager), asAdmin(t)
	installClusterAPI(t)
	refused := func(doing string, err error) {
		t.Helper()
		wantRefused(t, doing, err, "metadata.labels: of C", "the label app.kubernetes.io/managed-by: teapot", "label it so, if it is Teapot's")
	}
	accepted := func(doing string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", doing, err)
		}
	}
	apply := func(object *unstructured.Unstructured) error {
		return c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(teapotv1.FieldManager), client.ForceOwnership)
	}
	enforced := func(t *testing.T, kind apiObject) {
		await(t, "the API server serves "+kind.kind, func() bool {
			return admin.Create(t.Context(), kind.object(t, "probe", ""), client.DryRunAll) == nil
		})
		await(t, "the policy is enforced for "+kind.kind, func() bool {
			return apierrors.IsForbidden(c.Create(t.Context(), kind.object(t, "probe", ""), client.DryRunAll))
		})
	}
	for _, kind := range []apiObject{cluster, tenantCluster} {
		t.Run(kind.kind, func(t *testing.T) {
			enforced(t, kind)
			refused("making one without the label", c.Create(t.Context(), kind.object(t, "unlabelled", "")))
			theirs, ours := kind.object(t, "theirs", "labels: {teapot.dev/pool: theirs}"), kind.object(t, "ours", madeByTeapot)
			forget(t, theirs)
			mustCreate(t, admin, theirs)
			forget(t, ours)
			accepted("making one", c.Create(t.Context(), ours.DeepCopy()))
			if kind == tenantCluster {
				wantForbidden(t, "deleting one", c.Delete(t.Context(), ours.DeepCopy())) // Cluster API does, with the Cluster
				return
			}
			refused("deleting somebody's", c.Delete(t.Context(), theirs.DeepCopy()))
			accepted("deleting one", c.Delete(t.Context(), ours.DeepCopy()))
		})
	}
	for _, kind := range poolObjects {
		t.Run(kind.kind, func(t *testing.T) {
			enforced(t, kind)
			refused("making one without the label", c.Create(t.Context(), kind.object(t, "unlabelled", "")))
			theirs := kind.object(t, "theirs", "labels: {teapot.dev/pool: theirs}")
			forget(t, theirs)
			mustCreate(t, admin, theirs)
			refused("applying over somebody's", apply(kind.object(t, "theirs", madeByTeapot)))
			refused("making somebody's its own by the label", c.Patch(t.Context(), theirs.DeepCopy(), merge(`{"metadata": {"labels": {"app.kubernetes.io/managed-by": "teapot"}}}`)))
			refused("deleting somebody's", c.Delete(t.Context(), theirs.DeepCopy()))

			ours := kind.object(t, "ours", madeByTeapot)
			forget(t, ours)
			accepted("making one", apply(ours.DeepCopy()))
			refused("removing the label", c.Patch(t.Context(), ours.DeepCopy(), merge(`{"metadata": {"labels": null}}`)))
			accepted("changing one", c.Patch(t.Context(), ours.DeepCopy(), merge(`{"metadata": {"labels": {"a": "b"}}}`)))
			accepted("deleting one", c.Delete(t.Context(), ours.DeepCopy()))
		})
	}
	for _, kind := range poolObjects {
		t.Run(kind.kind+" without label", func(t *testing.T) {
			owned := "ownerReferences: [{apiVersion: teapot.dev/v1alpha1, kind: WorkerPool, name: a, uid: '1', controller: true}]"
			stripped := kind.object(t, "stripped", owned)
			forget(t, stripped)
			mustCreate(t, admin, stripped)
			accepted("repairing one that a pool controls", apply(kind.object(t, "stripped", owned+", "+madeByTeapot)))
			if err := admin.Patch(t.Context(), stripped.DeepCopy(), merge(`{"metadata": {"labels": null}}`)); err != nil {
				t.Fatal(err)
			}
			accepted("deleting one that a pool controls", c.Delete(t.Context(), stripped.DeepCopy()))

			posing := kind.object(t, "posing", ownedBy("example.com/v1", "WorkerPool", "a", "1"))
			forget(t, posing)
			mustCreate(t, admin, posing)
			refused("deleting one of another WorkerPool", c.Delete(t.Context(), posing.DeepCopy()))
		})
	}
}

// clusterWriter is somebody whom an operator lets write Clusters, and not delete them.
const clusterWriter = "a-writer-of-clusters"

// letWriteClusters gives the writer of Clusters its right, with further verbs on them.
func letWriteClusters(t *testing.T, user string, verbs ...string) {
	t.Helper()
	as(t, tenant) // the policies are there
	installClusterAPI(t)
	admin := asAdmin(t)
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "clusters-of-" + user},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"cluster.x-k8s.io"}, Resources: []string{"clusters"}, Verbs: append([]string{"create", "update", "patch"}, verbs...)}},
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	for _, object := range []client.Object{role, binding} {
		forget(t, object)
		mustCreate(t, admin, object)
	}
	await(t, user+" may write Clusters", func() bool {
		err := impersonating(t, user).Create(t.Context(), cluster.object(t, "probe", ""), client.DryRunAll)
		return err == nil
	})
}

// TestAClusterTakesNoControlPlane from somebody else: a control plane is deleted with its Cluster.
func TestAClusterTakesNoControlPlane(t *testing.T) {
	letWriteClusters(t, clusterWriter)
	letWriteClusters(t, tenant)
	letWriteClusters(t, clusterAPI)
	c := impersonating(t, clusterWriter)
	naming := func(name string) *unstructured.Unstructured {
		return apiObject{cluster.apiVersion, cluster.kind, "{controlPlaneRef: {apiGroup: teapot.dev, kind: TenantControlPlane, name: " + name + "}}"}.object(t, "taking", "")
	}
	refused := func(doing string, err error) {
		t.Helper()
		wantRefused(t, doing, err, "spec.controlPlaneRef: to name a TenantControlPlane needs the right to delete it", "name one that you may delete, or ask for the right")
	}
	await(t, "the policy for Clusters is enforced", func() bool {
		return apierrors.IsForbidden(c.Create(t.Context(), naming("acme"), client.DryRunAll))
	})
	refused("making a Cluster that names one", c.Create(t.Context(), naming("acme")))
	plain := cluster.object(t, "taking", "")
	forget(t, plain)
	mustCreate(t, c, plain)
	name := merge(`{"spec": {"controlPlaneRef": {"apiGroup": "teapot.dev", "kind": "TenantControlPlane", "name": "acme"}}}`)
	refused("naming one later", c.Patch(t.Context(), plain.DeepCopy(), name))
	for _, user := range []string{tenant, clusterAPI} {
		if err := impersonating(t, user).Patch(t.Context(), plain.DeepCopy(), name, client.DryRunAll); err != nil {
			t.Errorf("%s, who may delete control planes, names one: %v", user, err)
		}
	}
	if err := asAdmin(t).Patch(t.Context(), plain.DeepCopy(), name); err != nil {
		t.Fatal(err)
	}
	if err := c.Patch(t.Context(), plain.DeepCopy(), merge(`{"spec": {"paused": true}}`)); err != nil {
		t.Errorf("changing something else of a Cluster that names one: %v", err)
	}
	refused("naming another", c.Patch(t.Context(), plain.DeepCopy(), merge(`{"spec": {"controlPlaneRef": {"name": "globex"}}}`)))
	other := apiObject{cluster.apiVersion, cluster.kind, "{controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: KubeadmControlPlane, name: acme}}"}
	mustCreate(t, c, other.object(t, "of-another-kind", ""), client.DryRunAll)
	made := naming("acme")
	made.SetLabels(map[string]string{teapotv1.ManagedByLabel: teapotv1.ManagedByTeapot, teapotv1.ControlPlaneNamespaceLabel: tenantNamespace, teapotv1.ControlPlaneNameLabel: "acme"})
	made.SetName("made")
	mustCreate(t, as(t, manager), made, client.DryRunAll)
}

// TestAClusterDoesNotPose as one that Teapot made, which the manager deletes with its control plane.
func TestAClusterDoesNotPose(t *testing.T) {
	const deleter = "a-deleter-of-clusters"
	letWriteClusters(t, clusterWriter)
	letWriteClusters(t, deleter, "delete")
	c := impersonating(t, clusterWriter)
	labelled := func(namespace string) string {
		return "labels: {teapot.dev/control-plane-namespace: " + namespace + ", teapot.dev/control-plane-name: acme}"
	}
	refused := func(doing string, err error) {
		t.Helper()
		wantRefused(t, doing, err, "metadata.labels: to set the labels teapot.dev/control-plane-namespace and teapot.dev/control-plane-name needs the right to delete the Cluster", "leave them out")
	}
	await(t, "the policy for Clusters is enforced", func() bool {
		return apierrors.IsForbidden(c.Create(t.Context(), cluster.object(t, "posing", labelled(tenantNamespace)), client.DryRunAll))
	})
	refused("making one", c.Create(t.Context(), cluster.object(t, "posing", labelled(tenantNamespace))))
	refused("making one with one label", c.Create(t.Context(), cluster.object(t, "posing", "labels: {teapot.dev/control-plane-name: acme}")))
	theirs := cluster.object(t, "posing", "labels: {app.kubernetes.io/managed-by: teapot}")
	forget(t, theirs)
	mustCreate(t, c, theirs)
	label := func(c client.Client, namespace string) error {
		return c.Patch(t.Context(), theirs.DeepCopy(), merge(`{"metadata": {"labels": {"teapot.dev/control-plane-namespace": "`+namespace+`", "teapot.dev/control-plane-name": "acme"}}}`))
	}
	refused("labelling one", label(c, tenantNamespace))
	await(t, "who may delete Clusters may label them", func() bool { return label(impersonating(t, deleter), tenantNamespace) == nil })
	refused("labelling it as of another namespace's", label(impersonating(t, deleter), otherNamespace))
	if err := c.Patch(t.Context(), theirs.DeepCopy(), merge(`{"spec": {"paused": true}}`)); err != nil {
		t.Errorf("changing something else of one that is labelled: %v", err)
	}
	if err := c.Patch(t.Context(), theirs.DeepCopy(), merge(`{"metadata": {"labels": null}}`)); err != nil {
		t.Errorf("removing the labels: %v", err)
	}
}

// TestATenantCannotChooseACluster for a control plane by an owner reference: a pool's machines would
// join what is the Cluster's, and Secrets would be called like its own.
func TestATenantCannotChooseACluster(t *testing.T) {
	c := as(t, tenant)
	refused := func(doing string, err error) {
		t.Helper()
		wantRefused(t, doing, err, "metadata.ownerReferences: to name an owner of Cluster API's needs the verb override on tenantcontrolplanes", "name the control plane in spec.controlPlaneRef of the Cluster, and Cluster API writes it")
	}
	const owners = `{"metadata": {"ownerReferences": [{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "name": "theirs", "uid": "1", "controller": true}]}}`
	posing := planes.object(t, "posing", "")
	posing.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "cluster.x-k8s.io/v1beta1", Kind: "Cluster", Name: "theirs", UID: "1"}})
	refused("making one with an owner", c.Create(t.Context(), posing))
	plane := planes.object(t, "owned", "")
	forget(t, plane)
	mustCreate(t, c, plane)
	refused("adding an owner", c.Patch(t.Context(), plane.DeepCopy(), merge(owners)))
	if err := c.Patch(t.Context(), plane.DeepCopy(), merge(`{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "2"}]}}`)); err != nil {
		t.Errorf("adding an owner of no account: %v", err)
	}
	for _, user := range []string{operator, clusterAPI, manager} {
		if err := as(t, user).Patch(t.Context(), plane.DeepCopy(), merge(owners), client.DryRunAll); err != nil {
			t.Errorf("%s adds an owner: %v", user, err)
		}
	}
	if err := as(t, clusterAPI).Patch(t.Context(), plane.DeepCopy(), merge(owners)); err != nil {
		t.Fatal(err)
	}
	if err := c.Patch(t.Context(), plane.DeepCopy(), merge(`{"spec": {"replicas": 2}}`)); err != nil {
		t.Errorf("changing something else of one that has an owner: %v", err)
	}
	refused("another owner", c.Patch(t.Context(), plane.DeepCopy(), merge(`{"metadata": {"ownerReferences": [{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "name": "others", "uid": "1"}]}}`)))
}
