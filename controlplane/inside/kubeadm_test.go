package inside

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	"k8s.io/kubernetes/cmd/kubeadm/app/phases/bootstraptoken/clusterinfo"
	"k8s.io/kubernetes/cmd/kubeadm/app/phases/bootstraptoken/node"
	"k8s.io/kubernetes/cmd/kubeadm/app/phases/kubeconfig"
	"k8s.io/kubernetes/cmd/kubeadm/app/phases/kubelet"
	"k8s.io/kubernetes/cmd/kubeadm/app/phases/uploadconfig"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// recordKubeadm runs every phase of `kubeadm init` that writes to the cluster, add-ons
// apart, against a recording client and returns what the phases made.
func recordKubeadm(t *testing.T, in Input) []unstructured.Unstructured {
	t.Helper()
	config, err := kubeadmConfig(in)
	if err != nil {
		t.Fatal(err)
	}
	admin := &clientcmdapi.Config{
		CurrentContext: "admin",
		Contexts:       map[string]*clientcmdapi.Context{"admin": {Cluster: "tenant"}},
		Clusters: map[string]*clientcmdapi.Cluster{
			"tenant": {Server: in.machinesServer(), CertificateAuthorityData: in.CACert},
		},
	}
	client := fake.NewClientset()
	for _, phase := range []func() error{
		func() error { return uploadconfig.UploadConfiguration(config, client) },
		func() error { return kubelet.CreateConfigMap(&config.ClusterConfiguration, client) },
		func() error { return clusterinfo.CreateBootstrapConfigMapIfNotExists(client, admin) },
		func() error { return clusterinfo.CreateClusterInfoRBACRules(client) },
		func() error { return node.AllowBootstrapTokensToPostCSRs(client) },
		func() error { return node.AllowBootstrapTokensToGetNodes(client) },
		func() error { return node.AutoApproveNodeBootstrapTokens(client) },
		func() error { return node.AutoApproveNodeCertificateRotation(client) },
		func() error { return node.AllowAPIServerToAccessKubeletAPI(client) },
		func() error {
			_, err := kubeconfig.EnsureAdminClusterRoleBindingImpl(t.Context(), client, nil, time.Millisecond, time.Second)
			return err
		},
	} {
		if err := phase(); err != nil {
			t.Fatal(err)
		}
	}

	var made []runtime.Object
	for _, action := range client.Actions() {
		create, ok := action.(clienttesting.CreateAction)
		if !ok {
			continue
		}
		object := create.GetObject()
		kinds, _, err := scheme.Scheme.ObjectKinds(object)
		if err != nil {
			t.Fatal(err)
		}
		object.GetObjectKind().SetGroupVersionKind(kinds[0])
		made = append(made, object)
	}
	recorded, err := fromObjects(made...)
	if err != nil {
		t.Fatal(err)
	}
	sortForApply(recorded)
	return recorded
}

func isRBAC(object unstructured.Unstructured) bool {
	return object.GroupVersionKind().Group == "rbac.authorization.k8s.io"
}

func TestAccessRulesAreKubeadms(t *testing.T) {
	var rules []unstructured.Unstructured
	for _, object := range recordKubeadm(t, example()) {
		if isRBAC(object) {
			rules = append(rules, object)
		}
	}
	recorded := manifest(t, rules)
	golden(t, "rbac.yaml", recorded)
	if *update {
		// The file was embedded before it was rewritten, and other golden files hold it.
		recordedRBAC = recorded
		recordedObjects = func() ([]unstructured.Unstructured, error) { return fromManifest(recorded) }
	}
}

func TestConfigMapsAreKubeadms(t *testing.T) {
	in := example()
	in.CoreDNS, in.KubeProxy, in.Konnectivity = false, false, false
	rendered, err := Render(in)
	if err != nil {
		t.Fatal(err)
	}
	configMaps := func(objects []unstructured.Unstructured) map[string]any {
		found := map[string]any{}
		for _, object := range objects {
			if object.GetKind() == "ConfigMap" {
				found[object.GetNamespace()+"/"+object.GetName()] = object.Object
			}
		}
		return found
	}
	ofKubeadm := recordKubeadm(t, in)
	for i := range ofKubeadm {
		// All that Teapot adds to them.
		ofKubeadm[i].SetLabels(map[string]string{teapotv1.ManagedByLabel: teapotv1.ManagedByTeapot})
	}
	want := configMaps(ofKubeadm)
	if len(want) != 3 {
		t.Fatalf("kubeadm makes %d ConfigMaps, expected 3", len(want))
	}
	if diff := cmp.Diff(want, configMaps(rendered)); diff != "" {
		t.Errorf("kubeadm's phases make other ConfigMaps (-kubeadm +ours):\n%s", diff)
	}
}

func TestKubeadmConfigNeedsNothingOfTheHost(t *testing.T) {
	config, err := kubeadmConfig(example())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, got, want string }{
		{"the version is the one asked for, whatever was linked in", config.KubernetesVersion, "v1.36.3"},
		{"the way in is by host", config.ControlPlaneEndpoint, "acme.example.com:30443"},
		{"the address is the machines' way in", config.LocalAPIEndpoint.AdvertiseAddress, "192.0.2.10"},
		{"the certificates' folder is the machines'", config.CertificatesDir, "/etc/kubernetes/pki"},
		{"keys are ECDSA", string(config.EncryptionAlgorithm), string(kubeadm.EncryptionAlgorithmECDSAP256)},
		{"the images' registry is the public one", config.ImageRepository, "registry.k8s.io"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
		})
	}
	if len(config.BootstrapTokens) != 0 {
		t.Errorf("there are bootstrap tokens: %v", config.BootstrapTokens)
	}
}

func TestKubeletConfiguration(t *testing.T) {
	rendered, err := Render(example())
	if err != nil {
		t.Fatal(err)
	}
	text := dataOf(t, rendered, "kube-system", "kubelet-config", "kubelet")
	for _, want := range []string{
		"clientCAFile: /etc/kubernetes/pki/ca.crt",
		"clusterDNS:\n- 10.96.0.10\n",
		"clusterDomain: cluster.local",
		"rotateCertificates: true",
		"healthzBindAddress: 127.0.0.1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("kubelet-config lacks %q:\n%s", want, text)
		}
	}
}
