package clusterctl

import (
	"fmt"
	"path/filepath"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// management is a management cluster: an API server, installed into by `clusterctl init`, and the
// managers.
type management struct {
	name       string
	repository *repository
	config     *rest.Config
	kubeconfig string
	client     client.WithWatch
	managers   []*program
}

// newManagement starts an API server on which nothing is installed yet but hosts. Teapot's CRDs are
// on every API server of the tests; clusterctl's labels show that it has seen to them.
func newManagement(t *testing.T, name string, from *repository) *management {
	t.Helper()
	config, stop, err := apiserver.Start()
	must(t, err)
	t.Cleanup(func() { must(t, stop()) })
	config.QPS = -1
	m := &management{name: name, repository: from, config: config, kubeconfig: filepath.Join(t.TempDir(), name+".kubeconfig")}
	must(t, writeKubeconfig(m.kubeconfig, config, ""))
	scheme := controllers.Scheme()
	for _, add := range []func(*runtime.Scheme) error{apiextensionsv1.AddToScheme, bootstrapv1.AddToScheme} {
		must(t, add(scheme))
	}
	m.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	must(t, err)
	must(t, apiserver.InstallUpstream(config, apiserver.BareMetalHostCRD, apiserver.HostDeployPolicyCRD))
	return m
}

// writeKubeconfig writes how the API server is reached, as an administrator or as a user whom it is
// enough to name.
func writeKubeconfig(path string, config *rest.Config, user string) error {
	return clientcmd.WriteToFile(clientcmdapi.Config{
		CurrentContext: "it",
		Contexts:       map[string]*clientcmdapi.Context{"it": {Cluster: "it", AuthInfo: "it"}},
		Clusters:       map[string]*clientcmdapi.Cluster{"it": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"it": {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Impersonate: user}},
	}, path)
}

// init runs `clusterctl init` for all providers and starts their managers.
func (m *management) init(t *testing.T) {
	t.Helper()
	found, err := binaries()
	must(t, err)
	m.playCertManager(t)
	ports := map[string]int{}
	var environment []string
	for _, u := range upstream {
		ports[u.port] = freePort(t)
		environment = append(environment, fmt.Sprintf("%s=%d", u.port, ports[u.port]))
	}
	environment = append(environment, "CLUSTER_TOPOLOGY=true", "EXP_MACHINE_POOL=false")
	m.repository.clusterctl(t, environment, "init", "--kubeconfig", m.kubeconfig,
		"--core", "cluster-api", "--bootstrap", "kubeadm", "--control-plane", "teapot", "--infrastructure", "teapot")

	// Kubernetes' own, as far as a move meets them: the garbage collector takes away owner references
	// to what is gone, which keep clusterctl from moving an object.
	m.run(t, "kube-controller-manager", found.controllers, "--kubeconfig="+m.kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--controllers=garbage-collector-controller,namespace-controller,clusterrole-aggregation-controller")
	quiet := []string{"--leader-elect=false", "--diagnostics-address=0", "--health-addr=0", "--webhook-cert-dir=" + m.repository.certificates}
	m.run(t, "core", found.core, append(quiet, fmt.Sprintf("--webhook-port=%d", ports["CORE_WEBHOOK_PORT"]), "--feature-gates=ClusterTopology=true,MachinePool=false")...)
	m.run(t, "kubeadm-bootstrap", found.bootstrap, append(quiet, fmt.Sprintf("--webhook-port=%d", ports["BOOTSTRAP_WEBHOOK_PORT"]), "--feature-gates=MachinePool=false")...)
	// With its own account's rights: the admission policies know the manager by its name.
	own := m.kubeconfig + "-teapot"
	must(t, writeKubeconfig(own, m.config, "system:serviceaccount:teapot-system:teapot-manager"))
	m.runBy(t, own, "teapot", found.teapot, "--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=0", "--node-port-address="+ownAddress(t))
}

func (m *management) run(t *testing.T, name, path string, args ...string) {
	t.Helper()
	m.runBy(t, m.kubeconfig, name, path, args...)
}

func (m *management) runBy(t *testing.T, kubeconfig, name, path string, args ...string) {
	t.Helper()
	m.managers = append(m.managers, start(t, name+" of the "+m.name, path, []string{"KUBECONFIG=" + kubeconfig, "POD_NAMESPACE=" + name + "-system"}, args...))
}

// playCertManager gives `clusterctl init` the kinds by which it finds that cert-manager is there.
// Nothing of Teapot's, nor of what is left of upstream's, is of these kinds.
func (m *management) playCertManager(t *testing.T) {
	t.Helper()
	for kind, plural := range map[string]string{"Issuer": "issuers", "Certificate": "certificates"} {
		crd := &apiextensionsv1.CustomResourceDefinition{
			ObjectMeta: metav1.ObjectMeta{Name: plural + ".cert-manager.io"},
			Spec: apiextensionsv1.CustomResourceDefinitionSpec{
				Group: "cert-manager.io", Scope: apiextensionsv1.NamespaceScoped,
				Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind, Plural: plural},
				Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
					Name: "v1", Served: true, Storage: true,
					Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
						Type: "object", XPreserveUnknownFields: ptr.To(true),
					}},
				}},
			},
		}
		must(t, m.client.Create(t.Context(), crd))
	}
}

// clusterctl runs clusterctl against this cluster.
func (m *management) clusterctl(t *testing.T, environment []string, args ...string) string {
	t.Helper()
	return m.repository.clusterctl(t, append(environment, "KUBECONFIG="+m.kubeconfig), args...)
}
