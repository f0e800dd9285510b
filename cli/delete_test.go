package cli

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/google/go-cmp/cmp"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

func TestLosses(t *testing.T) {
	small := controlPlane("acme")
	large := controlPlane("acme")
	large.Spec.Replicas = ptr.To[int32](3)
	large.Spec.Datastore.Etcd = teapotv1.EtcdSpec{Members: 3, StorageSize: resource.MustParse("8Gi")}
	large.Spec.DeletionPolicy = teapotv1.DeletionPolicyRetain
	large.Spec.Paused = true
	large.Status.Endpoint = &teapotv1.EndpointStatus{URL: "https://192.0.2.1:30443"}
	namespace := controlplane.Namespace(acme)
	for _, test := range []struct {
		name  string
		given *teapotv1.TenantControlPlane
		want  string
	}{
		{"everything goes", small, `TenantControlPlane tenants/acme (Kubernetes v1.36.3) is deleted, and with it:
  - 1 control-plane pod and 1 etcd pod, and namespace ` + namespace + ` itself
  - 1 etcd volume: the tenant's whole state, for good
  - its certificate authorities and keys: no kubeconfig or token of it works any more
  - the kubeconfigs of its users and controllers in namespace tenants`},
		{"data is kept", large, `TenantControlPlane tenants/acme (Kubernetes v1.36.3, https://192.0.2.1:30443) is deleted, and with it:
  - 3 control-plane pods and 3 etcd pods in namespace ` + namespace + `
  - the kubeconfigs of its users and controllers in namespace tenants
Kept, since spec.deletionPolicy is Retain, in namespace ` + namespace + ` with label teapot.dev/retained:
  - 3 etcd volumes of 8Gi each, the tenant's whole state
  - its certificate authorities and service-account keys
It is paused (spec.paused), so its deletion begins when it is resumed.`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, losses(test.given)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeleteAsks(t *testing.T) {
	for _, test := range []struct {
		name, answer, args string
		code               int
		deleted            bool
		stderr             string
	}{
		{name: "yes", answer: "y\n", args: "acme", deleted: true, stderr: "Delete it? [y/N] "},
		{name: "yes, in full", answer: "YES\n", args: "acme", deleted: true},
		{name: "no", answer: "n\n", args: "acme", code: exitFailed, stderr: "not confirmed, nothing was deleted"},
		{name: "just the return key", answer: "\n", args: "acme", code: exitFailed, stderr: "not confirmed"},
		{name: "end of input", answer: " ", args: "acme", code: exitFailed, stderr: "not confirmed"},
		{name: "two", answer: "y\n", args: "acme globex", deleted: true, stderr: "Delete these 2? [y/N] "},
		{name: "nobody to ask", args: "acme", code: exitUsage, stderr: "confirm with --yes"},
		{name: "confirmed beforehand", args: "acme --yes", deleted: true, stderr: "the tenant's whole state"},
		{name: "one of them does not exist", args: "acme initech --yes", code: exitFailed, stderr: `"initech" not found`},
		{name: "which is no error", args: "acme initech --yes --ignore-not-found", deleted: true},
		{name: "nothing named", args: "--yes", code: exitUsage, stderr: "the name of a control plane is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t, controlPlane("acme", ready), controlPlane("globex", ready))
			i := start(t, api, test.answer, append([]string{"delete"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, i.wait(t), i.stderr.String())
			wantText(t, i.stderr.String(), test.stderr)
			if gone := !api.has("tenantcontrolplanes", "tenants", "acme"); gone != test.deleted {
				t.Errorf("deleted: %t, want %t", gone, test.deleted)
			}
			if test.deleted {
				wantText(t, i.stdout.String(), `tenantcontrolplane.teapot.dev "acme" deleted`)
			}
		})
	}
}

func TestDeleteWaits(t *testing.T) {
	api := newFakeAPI(t, controlPlane("acme", ready))
	api.finalizing = true

	code, stdout, stderr := run(t, api, "delete", "acme", "--yes", "--wait=false")
	wantCode(t, exitDone, code, stderr)
	wantText(t, stdout, `"acme" deletion requested`)

	code, stdout, stderr = run(t, api, "delete", "acme", "--yes", "--timeout", "500ms")
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, "acme: is being deleted", "timed out after 500ms waiting for", "it to be deleted")
	if stdout != "" {
		t.Errorf("standard output: %s", stdout)
	}

	i := start(t, api, "", "delete", "acme", "--yes")
	eventually(t, "it says that it is being deleted", func() bool { return strings.Contains(i.stderr.String(), "acme: is being deleted") })
	api.remove("tenantcontrolplanes", "tenants", "acme")
	wantCode(t, exitDone, i.wait(t), i.stderr.String())
	wantText(t, i.stdout.String(), `"acme" deleted`)
}
