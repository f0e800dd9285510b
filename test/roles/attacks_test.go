package roles

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/workers/host"
)

// hostsNamespace is where hosts and what is beside them are. No user holds a role there.
const hostsNamespace = otherNamespace

// impersonating returns a user's client, whatever is enforced.
func impersonating(t *testing.T, user string) client.Client {
	t.Helper()
	config := apiserver.Config(t)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	return newClient(t, config)
}

// merge is a merge patch.
func merge(body string) client.Patch {
	return client.RawPatch(types.MergePatchType, []byte(body))
}

// TestATenantCannotChooseAHost: the annotations by which the manager knows a claim's host are not
// a tenant's to write. With them one could take a host that no policy gives it.
func TestATenantCannotChooseAHost(t *testing.T) {
	byTenant, byManager := as(t, tenant), as(t, manager)
	refused := func(doing string, err error) {
		t.Helper()
		wantRefused(t, doing, err, "metadata.annotations: to set, change or remove an annotation of teapot.dev needs the verb override on machineclaims", "narrow the choice with spec.hostSelector")
	}
	for _, annotation := range []string{teapotv1.HostAnnotation, teapotv1.FailedHostsAnnotation, "teapot.dev/later"} {
		t.Run(annotation, func(t *testing.T) {
			annotated := func(value string) string { return "annotations: {" + annotation + ": " + value + "}" }
			refused("creating a claim with it", byTenant.Create(t.Context(), claims.object(t, "chosen", annotated("globex/machine-0"), "")))
			claim := claims.object(t, "chosen", "", "")
			forget(t, claim)
			mustCreate(t, byTenant, claim)
			set := func(c client.Client, value string) error {
				return c.Patch(t.Context(), claim.DeepCopy(), merge(`{"metadata": {"annotations": {"`+annotation+`": `+value+`}}}`))
			}
			refused("adding it", set(byTenant, `"globex/machine-0"`))
			refused("adding it by a JSON patch", byTenant.Patch(t.Context(), claim.DeepCopy(), client.RawPatch(types.JSONPatchType,
				[]byte(`[{"op": "add", "path": "/metadata/annotations", "value": {"`+annotation+`": "globex/machine-0"}}]`))))
			refused("adding it by server-side apply", byTenant.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(
				claims.object(t, "chosen", annotated("globex/machine-0"), "")), client.FieldOwner(teapotv1.FieldManager), client.ForceOwnership))
			refused("adding it empty", set(byTenant, `""`))
			if err := set(byManager, `"acme/machine-1"`); err != nil {
				t.Fatalf("the manager adds it: %v", err)
			}
			refused("changing it", set(byTenant, `"globex/machine-0"`))
			refused("removing it", set(byTenant, "null"))
			refused("removing all", byTenant.Patch(t.Context(), claim.DeepCopy(), merge(`{"metadata": {"annotations": null}}`)))
			if err := byTenant.Patch(t.Context(), claim.DeepCopy(), merge(`{"spec": {"poweredOn": false}, "metadata": {"annotations": {"example.org/a": "b"}}}`)); err != nil {
				t.Errorf("the tenant changes something else: %v", err)
			}
			if err := as(t, operator).Patch(t.Context(), claim.DeepCopy(), merge(`{"metadata": {"annotations": {"`+annotation+`": null}}}`), client.DryRunAll); err != nil {
				t.Errorf("an operator removes it: %v", err)
			}
			if err := set(byManager, "null"); err != nil {
				t.Errorf("the manager removes it: %v", err)
			}
		})
	}
}

// TestATenantCannotHaveAnythingFetched but from the image servers that the chart's values name.
func TestATenantCannotHaveAnythingFetched(t *testing.T) {
	const sum = ", checksum: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}"
	for _, kind := range machineKinds {
		image := func(url string) client.Object { return kind.object(t, "fetched", "", "image: {url: '"+url+"'"+sum) }
		for _, url := range []string{
			"http://169.254.169.254/latest/meta-data", "https://images.example.org/node", "oci://registry.example.com.evil.example.org/node",
			"http://172.30.0.2:6385/v1/nodes", "http://172.30.0.2:6385/images/../v1/nodes", "http://172.30.0.2:6385/images",
		} {
			wantRefused(t, kind.name+" with "+url, as(t, tenant).Create(t.Context(), image(url)),
				kind.spec+".image.url: must begin with oci://registry.example.com/ or http://172.30.0.2:6385/images/", "needs the verb override on "+kind.resource)
		}
		mustCreate(t, as(t, tenant), image("http://172.30.0.2:6385/images/node"), client.DryRunAll)
		elsewhere := image("https://images.example.org/node")
		forget(t, elsewhere)
		mustCreate(t, as(t, operator), elsewhere)
		if err := as(t, tenant).Patch(t.Context(), elsewhere, merge(`{"metadata": {"labels": {"a": "b"}}}`)); err != nil {
			t.Errorf("%s: a tenant changes something else of an operator's: %v", kind.name, err)
		}
	}
}

// TestATenantCannotBorrowSecrets: to name a Secret is to read it on the machine, so it needs the
// right to read it.
func TestATenantCannotBorrowSecrets(t *testing.T) {
	const reader = "a-tenant-with-a-secret"
	as(t, tenant) // the roles are there
	admin := asAdmin(t)
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "read-first-boot"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: []string{"first-boot"}}},
	}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: reader}}
	for _, object := range []client.Object{
		role,
		&rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}, Subjects: subjects},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "edit-reader"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "teapot-tenant-edit"}, Subjects: subjects,
		},
	} {
		forget(t, object)
		mustCreate(t, admin, object)
	}
	byReader := as(t, reader)
	for _, field := range []string{"userData", "metaData", "networkData"} {
		t.Run(field, func(t *testing.T) {
			claim := func(secret string) client.Object {
				return claims.object(t, "borrowed-"+secret, "", field+": {name: "+secret+"}")
			}
			refused := func(doing string, err error) {
				t.Helper()
				wantRefused(t, doing, err, "spec."+field+".name: to name Secret acme-kubeconfig needs the right to get it", "name a Secret that you may read, or ask for the right")
			}
			await(t, "who may read a Secret may name it", func() bool {
				err := byReader.Create(t.Context(), claim("first-boot"), client.DryRunAll)
				if err != nil && !apierrors.IsForbidden(err) {
					t.Fatal(err)
				}
				return err == nil
			})
			refused("naming another", byReader.Create(t.Context(), claim("acme-kubeconfig")))
			refused("naming one without any right to Secrets", as(t, tenant).Create(t.Context(), claim("acme-kubeconfig")))
			refused("naming one as an operator, who reads no Secrets", as(t, operator).Create(t.Context(), claim("acme-kubeconfig")))

			made := claim("acme-kubeconfig")
			forget(t, made)
			mustCreate(t, as(t, manager), made)
			if err := as(t, tenant).Patch(t.Context(), made, merge(`{"spec": {"poweredOn": false}}`)); err != nil {
				t.Errorf("a tenant changes something else of the manager's claim: %v", err)
			}
		})
	}
}

// TestATenantCannotPoseAsAMachine: what a machine boots with is its owner's, so owners are Cluster
// API's and the manager's to write.
func TestATenantCannotPoseAsAMachine(t *testing.T) {
	byTenant := as(t, tenant)
	for _, kind := range []machineKind{claims, machines} {
		t.Run(kind.name, func(t *testing.T) {
			refused := func(doing string, err error) {
				t.Helper()
				wantRefused(t, doing, err, "metadata.ownerReferences: to name an owner of Cluster API's or of Teapot's needs the verb override on "+kind.resource, "leave it out")
			}
			for _, owner := range []string{
				ownedBy("cluster.x-k8s.io/v1beta2", "Machine", "another", "1"),
				ownedBy("cluster.x-k8s.io/v1beta1", "Machine", "another", "1"),
				ownedBy("teapot.dev/v1alpha1", "HostMachine", "another", "1"),
			} {
				refused("creating one with "+owner, byTenant.Create(t.Context(), kind.object(t, "posing", owner, "")))
			}
			object := kind.object(t, "posing", ownedBy("cluster.x-k8s.io/v1beta2", "Machine", "its-own", "1"), "")
			forget(t, object)
			mustCreate(t, as(t, operator), object)
			owners := func(list string) error {
				return byTenant.Patch(t.Context(), object.DeepCopy(), merge(`{"metadata": {"ownerReferences": `+list+`}}`))
			}
			const own = `{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "name": "its-own", "uid": "1"}`
			refused("adding another", owners(`[`+own+`, {"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "name": "another", "uid": "2"}]`))
			refused("another name under the same UID", owners(`[{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "name": "another", "uid": "1"}]`))
			refused("another kind under the same UID", owners(`[{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "MachineSet", "name": "its-own", "uid": "1"}]`))
			if err := owners(`[` + own + `, {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "3"}]`); err != nil {
				t.Errorf("adding one of no account: %v", err)
			}
			if err := owners("null"); err != nil {
				t.Errorf("removing all: %v", err)
			}
		})
	}
}

// TestATenantCannotChooseAProviderID of another machine. The manager writes it once.
func TestATenantCannotChooseAProviderID(t *testing.T) {
	byTenant := as(t, tenant)
	refused := func(doing string, err error) {
		t.Helper()
		wantRefused(t, doing, err, "spec.providerID: to set it needs the verb override on hostmachines", "leave it out, and Teapot writes it")
	}
	refused("creating a machine with it", byTenant.Create(t.Context(), machines.object(t, "identified", "", "providerID: 'teapot://a'")))
	machine := machines.object(t, "identified", "", "")
	forget(t, machine)
	mustCreate(t, byTenant, machine)
	id := merge(`{"spec": {"providerID": "teapot://a"}}`)
	refused("adding it", byTenant.Patch(t.Context(), machine.DeepCopy(), id))
	if err := as(t, manager).Patch(t.Context(), machine, id); err != nil {
		t.Fatalf("the manager writes it: %v", err)
	}
	if err := byTenant.Patch(t.Context(), machine, merge(`{"metadata": {"labels": {"a": "b"}}}`)); err != nil {
		t.Errorf("the tenant changes something else: %v", err)
	}
}

// TestFinalizersOfMachines hold a claim, a machine and a pool until the hosts are given back,
// whatever a tenant writes.
func TestFinalizersOfMachines(t *testing.T) {
	byTenant, byManager := as(t, tenant), as(t, manager)
	for kind, finalizer := range map[*machineKind]string{
		&claims: teapotv1.MachineClaimFinalizer, &machines: teapotv1.HostMachineFinalizer, &pools: teapotv1.WorkerPoolFinalizer,
	} {
		t.Run(kind.name, func(t *testing.T) {
			object := kind.object(t, "held", "", "")
			forget(t, object)
			mustCreate(t, byTenant, object)
			finalizers := func(c client.Client, list string) error {
				return c.Patch(t.Context(), object, merge(`{"metadata": {"finalizers": `+list+`}}`))
			}
			accepted := func(what string, err error) {
				t.Helper()
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			refused := func(what string, err error) {
				t.Helper()
				wantRefused(t, what, err, "metadata.finalizers: to remove a finalizer of teapot.dev needs the verb override on "+kind.resource, "leave it as it is and wait, or ask an operator")
			}
			accepted("the manager adds it", finalizers(byManager, `["`+finalizer+`"]`))
			refused("the tenant removes it", finalizers(byTenant, "null"))
			refused("the tenant puts another in its place", finalizers(byTenant, `["example.org/mine"]`))
			accepted("the tenant adds another", finalizers(byTenant, `["example.org/mine", "`+finalizer+`"]`))
			accepted("the tenant removes that", finalizers(byTenant, `["`+finalizer+`"]`))
			accepted("the tenant deletes it", byTenant.Delete(t.Context(), object.DeepCopy()))
			refused("the tenant removes it meanwhile", finalizers(byTenant, "null"))
			accepted("the manager removes it", finalizers(byManager, "null"))
			if err := byTenant.Get(t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
				t.Errorf("it is still there: %v", err)
			}
		})
	}
}

// TestATenantCannotReachHosts: not what lies beside them, and not by what a HostDeployPolicy looks
// at.
func TestATenantCannotReachHosts(t *testing.T) {
	c, admin := as(t, tenant), asAdmin(t)
	bmc := secret(hostsNamespace, "machine-0-bmc", nil)
	forget(t, bmc)
	mustCreate(t, admin, bmc)
	claim := claims.object(t, "reach", "", "")
	forget(t, claim)
	mustCreate(t, c, claim)
	elsewhere := claims.object(t, "elsewhere", "", "")
	elsewhere.SetNamespace(hostsNamespace)
	own := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenantNamespace}}
	for what, err := range map[string]error{
		"reading a management controller's credentials":    c.Get(t.Context(), client.ObjectKeyFromObject(bmc), &corev1.Secret{}),
		"a Secret beside a host":                           c.Create(t.Context(), secret(hostsNamespace, "acme.reach-user-data", nil)),
		"a claim in the hosts' namespace":                  c.Create(t.Context(), elsewhere),
		"a claim's status":                                 c.Status().Patch(t.Context(), claim.DeepCopy(), merge(`{"status": {"host": {"namespace": "globex", "name": "machine-0"}}}`)),
		"a label of the namespace, for HostDeployPolicies": c.Patch(t.Context(), own, merge(`{"metadata": {"labels": {"hosts": "all"}}}`)),
	} {
		wantForbidden(t, what, err)
	}
}

// TestTheManagerAndSecrets: the manager writes and deletes its own alone.
func TestTheManagerAndSecrets(t *testing.T) {
	c, admin := as(t, manager), asAdmin(t)
	ours := map[string]string{teapotv1.ManagedByLabel: teapotv1.ManagedByTeapot}
	refused := func(doing string, err error) {
		t.Helper()
		wantRefused(t, doing, err, "metadata.labels: the manager writes and deletes only Secrets with the label app.kubernetes.io/managed-by: teapot")
	}
	bmc := secret(hostsNamespace, "machine-1-bmc", nil)
	forget(t, bmc)
	mustCreate(t, admin, bmc)
	apply := func(object *corev1.Secret) error {
		applied := object.DeepCopy()
		applied.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}
		applied.ResourceVersion, applied.ManagedFields = "", nil
		return c.Patch(t.Context(), applied, client.Apply, client.FieldOwner(teapotv1.FieldManager), client.ForceOwnership) //nolint:staticcheck // as controllers/apply does
	}
	refused("making one without the label", c.Create(t.Context(), secret(hostsNamespace, "unlabelled", nil)))
	refused("changing a management controller's credentials", c.Patch(t.Context(), bmc.DeepCopy(), merge(`{"stringData": {"password": "a"}}`)))
	refused("making them its own by the label", c.Patch(t.Context(), bmc.DeepCopy(), merge(`{"metadata": {"labels": {"app.kubernetes.io/managed-by": "teapot"}}}`)))
	refused("applying over them", apply(secret(hostsNamespace, "machine-1-bmc", ours)))
	refused("deleting them", c.Delete(t.Context(), bmc.DeepCopy()))

	beside := secret(hostsNamespace, "acme.a-user-data", ours)
	forget(t, beside)
	if err := apply(beside); err != nil {
		t.Fatalf("putting its own beside a host: %v", err)
	}
	refused("removing the label from its own", c.Patch(t.Context(), beside.DeepCopy(), merge(`{"metadata": {"labels": null}}`)))
	if err := admin.Patch(t.Context(), beside.DeepCopy(), merge(`{"metadata": {"labels": null}}`)); err != nil {
		t.Fatal(err)
	}
	if err := apply(beside); err != nil {
		t.Errorf("repairing its own that lost the label: %v", err)
	}
	if err := c.Delete(t.Context(), beside.DeepCopy()); err != nil {
		t.Errorf("deleting its own: %v", err)
	}
}

// TestTheManagerAndHosts: it takes and provisions them, and leaves alone where their management
// controllers are, and who they are.
func TestTheManagerAndHosts(t *testing.T) {
	c := as(t, manager)
	installHosts(t)
	object := &host.Object{ObjectMeta: metav1.ObjectMeta{Namespace: hostsNamespace, Name: "machine-2"}}
	object.Spec.BMC.Address, object.Spec.BMC.CredentialsName, object.Spec.BootMACAddress = "redfish://192.0.2.2/1", "machine-2-bmc", "52:54:00:00:00:02"
	forget(t, object)
	admin := asAdmin(t)
	mustCreate(t, admin, object)
	await(t, "the policy for the manager's hosts is enforced", func() bool {
		err := c.Patch(t.Context(), object.DeepCopy(), merge(`{"spec": {"bmc": {"address": "redfish://probe/1"}}}`), client.DryRunAll)
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy")
	})
	for what, body := range map[string]string{
		"another management controller": `{"spec": {"bmc": {"address": "redfish://198.51.100.1/1"}}}`,
		"other credentials":             `{"spec": {"bmc": {"credentialsName": "machine-3-bmc"}}}`,
		"none":                          `{"spec": {"bmc": null}}`,
		"another machine":               `{"spec": {"bootMACAddress": "52:54:00:00:00:03"}}`,
	} {
		wantRefused(t, what, c.Patch(t.Context(), object.DeepCopy(), merge(body)), "spec.bmc: the manager does not change it")
	}
	before := object.DeepCopy()
	host.Take(object, host.Holder{NamespacedName: types.NamespacedName{Namespace: tenantNamespace, Name: "a"}, UID: "1"}, "2")
	host.Provision(object, host.Provisioning{Image: teapotv1.Image{URL: "oci://registry.example.com/node"}, UserData: "a", Cleaning: teapotv1.CleaningDisabled})
	if err := c.Patch(t.Context(), object, client.MergeFrom(before)); err != nil {
		t.Errorf("taking and provisioning it: %v", err)
	}
	if err := admin.Patch(t.Context(), object, merge(`{"spec": {"bmc": {"address": "redfish://192.0.2.3/1"}}}`)); err != nil {
		t.Errorf("an operator gives it another management controller: %v", err)
	}
}

// TestPowerOfAHeldHost: a host's manifest that is applied again does not switch off somebody's machine.
// The manager does, and so does anybody with a host that is nobody's.
func TestPowerOfAHeldHost(t *testing.T) {
	admin, c := asAdmin(t), as(t, manager)
	installHosts(t)
	object := &host.Object{ObjectMeta: metav1.ObjectMeta{Namespace: hostsNamespace, Name: "machine-4"}}
	forget(t, object)
	mustCreate(t, admin, object)
	online := func(by client.Client, on bool) error {
		return by.Patch(t.Context(), object, merge(fmt.Sprintf(`{"spec": {"online": %t}}`, on)))
	}
	for _, on := range []bool{true, false} {
		if err := online(admin, on); err != nil {
			t.Errorf("an operator switches a free host: %v", err)
		}
	}
	before := object.DeepCopy()
	host.Take(object, host.Holder{NamespacedName: types.NamespacedName{Namespace: tenantNamespace, Name: "a"}, UID: "1"}, "2")
	host.Provision(object, host.Provisioning{Image: teapotv1.Image{URL: "oci://registry.example.com/node"}})
	if err := c.Patch(t.Context(), object, client.MergeFrom(before)); err != nil {
		t.Fatalf("the manager takes it: %v", err)
	}
	await(t, "the policy for held hosts is enforced", func() bool {
		return apierrors.IsForbidden(admin.Patch(t.Context(), object.DeepCopy(), merge(`{"spec": {"online": false}}`), client.DryRunAll))
	})
	wantRefused(t, "an operator applies its manifest again", online(admin, false), "spec.online: a MachineClaim holds the host", "annotation reboot.metal3.io")
	if err := admin.Patch(t.Context(), object, merge(`{"spec": {"description": "U12"}, "metadata": {"labels": {"example.com/rack": "r7"}}}`)); err != nil {
		t.Errorf("an operator changes something else: %v", err)
	}
	if err := online(c, false); err != nil {
		t.Errorf("the manager switches it off: %v", err)
	}
	for what, consumer := range map[string]*corev1.ObjectReference{
		"nobody":         nil,
		"somebody else":  {APIVersion: "infrastructure.cluster.x-k8s.io/v1beta1", Kind: "Metal3Machine", Namespace: tenantNamespace, Name: "a"},
		"who is unnamed": {},
	} {
		before := object.DeepCopy()
		object.Spec.ConsumerRef = consumer
		if err := c.Patch(t.Context(), object, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
		if err := online(admin, !object.Spec.Online); err != nil {
			t.Errorf("an operator switches the host of %s: %v", what, err)
		}
	}
}

// installHosts installs Metal3's CRDs.
func installHosts(t *testing.T) {
	t.Helper()
	if err := claimtest.InstallCRDs(apiserver.Config(t)); err != nil {
		t.Fatal(err)
	}
}

// secret returns a Secret with something in it.
func secret(namespace, name string, labels map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}, StringData: map[string]string{"value": "a"}}
}
