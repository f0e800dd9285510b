package controlplane

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/pki"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// testInput is a control plane as the API server's defaults make it, with the names that
// a management cluster would have given it.
func testInput(change func(*Input)) Input {
	in := Input{
		Owner:       types.NamespacedName{Namespace: "acme", Name: "prod"},
		UID:         "8d1f2b1e-0000-4000-8000-000000000001",
		ClusterName: "prod",
		Spec: teapotv1.TenantControlPlaneSpec{
			Version:  "v1.36.3",
			Replicas: ptr.To[int32](1),
			Endpoint: teapotv1.EndpointSpec{Type: teapotv1.EndpointNodePort},
			Network:  teapotv1.NetworkSpec{ServiceCIDR: "10.96.0.0/16", PodCIDR: "10.244.0.0/16", DNSDomain: "cluster.local"},
			Datastore: teapotv1.DatastoreSpec{Etcd: teapotv1.EtcdSpec{
				Members: 1, StorageSize: resource.MustParse("8Gi"),
			}},
			DeletionPolicy: teapotv1.DeletionPolicyDelete,
		},
		Endpoint:     Endpoint{Host: "192.0.2.10", Address: "192.0.2.10", Port: 30443, KonnectivityPort: 30132},
		EtcdClientIP: "198.51.100.7",
		Credentials: Credentials{
			Authorities: pki.Authorities{
				Cluster:        pki.KeyPair{Cert: []byte("cluster CA"), Key: []byte("cluster CA key")},
				FrontProxy:     pki.KeyPair{Cert: []byte("front-proxy CA"), Key: []byte("front-proxy CA key")},
				Etcd:           pki.KeyPair{Cert: []byte("etcd CA"), Key: []byte("etcd CA key")},
				ServiceAccount: pki.KeyPair{Cert: []byte("sa public"), Key: []byte("sa private")},
			},
			Leaves: map[string]pki.KeyPair{},
		},
	}
	for name := range places(in) {
		in.Credentials.Leaves[name] = pki.KeyPair{Cert: []byte(name + " certificate"), Key: []byte(name + " key")}
	}
	if change != nil {
		change(&in)
	}
	return in
}

func TestRender(t *testing.T) {
	tests := map[string]func(*Input){
		"default": nil,
		"highly-available": func(in *Input) {
			in.Spec.Replicas = ptr.To[int32](3)
			in.Spec.Datastore.Etcd.Members = 3
			in.Spec.Datastore.Etcd.StorageClassName = ptr.To("fast")
			in.Spec.Endpoint = teapotv1.EndpointSpec{Type: teapotv1.EndpointLoadBalancer, Host: "api.acme.example", SubjectAltNames: []string{"acme.example"}}
			in.Endpoint = Endpoint{Host: "api.acme.example", Address: "192.0.2.20", Port: 6443, KonnectivityPort: 8132}
		},
		"sandboxed": func(in *Input) {
			in.Spec.RuntimeClassName = ptr.To("kata")
			in.Spec.Components.APIServer.Resources = teapotv1.ResourcesSpec{
				Requests: teapotv1.ResourceAmounts{CPU: ptr.To(resource.MustParse("500m"))},
				Limits:   teapotv1.ResourceAmounts{Memory: ptr.To(resource.MustParse("1Gi"))},
			}
		},
		"without-konnectivity": func(in *Input) {
			in.Spec.Addons.Konnectivity.Enabled = ptr.To(false)
			in.Spec.Endpoint.Type = teapotv1.EndpointClusterIP
			in.Endpoint = Endpoint{Host: "198.51.100.8", Address: "198.51.100.8", Port: 6443}
		},
		"everything-asked-for": func(in *Input) {
			in.Spec.Network = teapotv1.NetworkSpec{ServiceCIDR: "10.96.0.0/16,fd00:96::/112", PodCIDR: "10.244.0.0/16,fd00:244::/56", DNSDomain: "acme.internal"}
			in.Spec.ImageRepository = "registry.example.com/kubernetes"
			in.Spec.Scheduling = teapotv1.SchedulingSpec{
				NodeSelector:      map[string]teapotv1.LabelValue{"example.com/tenants": "true"},
				Tolerations:       []teapotv1.Toleration{{Key: "example.com/tenants", Operator: corev1.TolerationOpExists}},
				TopologyKeys:      []string{corev1.LabelTopologyZone},
				PriorityClassName: "tenants",
			}
			in.Spec.Components.APIServer.ExtraArgs = []teapotv1.ExtraArg{{Name: "event-ttl", Value: "2h"}}
			in.Spec.Components.Etcd.ExtraArgs = []teapotv1.ExtraArg{{Name: "quota-backend-bytes", Value: "4294967296"}}
		},
		"mirror-and-older-version": func(in *Input) {
			in.Settings.ImageRepository = "mirror.example/k8s"
			in.Spec.Version = "v1.35.4"
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			in := testInput(change)
			objects := append([]client.Object{NamespaceObject(in)}, Base(in)...)
			workloads, err := Workloads(in)
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, workloads...)
			tenant, err := TenantSecrets(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range tenant {
				objects = append(objects, secret)
			}
			golden(t, filepath.Join("testdata", name+".yaml"), encode(t, objects))
		})
	}
}

// encode writes objects as YAML, the data of Secrets in plain text so that a reviewer
// sees which file goes where.
func encode(t *testing.T, objects []client.Object) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, object := range objects {
		if secret, ok := object.(*corev1.Secret); ok {
			secret.StringData = map[string]string{}
			for key, value := range secret.Data {
				secret.StringData[key] = string(value)
			}
			secret.Data = nil
		}
		encoded, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(encoded)
	}
	return out.Bytes()
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (make golden rewrites it):\n%s", path, diff)
	}
}

func TestNamespaceFitsAndTellsTenantsApart(t *testing.T) {
	long := types.NamespacedName{Namespace: "a-namespace", Name: "a234567890123456789012345678901234567890123456789z"}
	if name := Namespace(long); len(name) > 63 {
		t.Errorf("%s has %d characters, more than the 63 of a namespace", name, len(name))
	}
	a := Namespace(types.NamespacedName{Namespace: "a", Name: "b-c"})
	b := Namespace(types.NamespacedName{Namespace: "a-b", Name: "c"})
	if a == b {
		t.Errorf("two control planes share namespace %s", a)
	}
}

func TestRestartHash(t *testing.T) {
	hash := func(change func(*Input)) string {
		in := testInput(change)
		h, err := in.Credentials.restartHash(in)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	leaf := func(name string) func(*Input) {
		return func(in *Input) { in.Credentials.Leaves[name] = pki.KeyPair{Cert: []byte("new")} }
	}
	tests := map[string]struct {
		change func(*Input)
		rolls  bool
	}{
		"serving certificate is reloaded":         {leaf(pki.APIServer), false},
		"etcd client certificate is reloaded":     {leaf(pki.APIServerEtcdClient), false},
		"users' kubeconfig is not in the pod":     {leaf(pki.Admin), false},
		"controller-manager's kubeconfig":         {leaf(pki.ControllerManager), true},
		"konnectivity's certificate":              {leaf(pki.KonnectivityServer), true},
		"service-account keys":                    {func(in *Input) { in.Credentials.Authorities.ServiceAccount.Key = []byte("new") }, true},
		"konnectivity off changes the egress way": {func(in *Input) { in.Spec.Addons.Konnectivity.Enabled = ptr.To(false) }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if rolls := hash(test.change) != hash(nil); rolls != test.rolls {
				t.Errorf("rolls the pods = %v, want %v", rolls, test.rolls)
			}
		})
	}
}

func TestResolveEndpoint(t *testing.T) {
	node := func(name string, age int, address string) corev1.Node {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(int64(1000-age), 0)}}
		if address != "" {
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: address}}
		}
		return n
	}
	service := func(change func(*corev1.Service)) *corev1.Service {
		s := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "198.51.100.8", Ports: []corev1.ServicePort{
			{Name: "https", Port: 6443, NodePort: 30443}, {Name: "konnectivity", Port: 8132, NodePort: 30132},
		}}}
		if change != nil {
			change(s)
		}
		return s
	}
	ingress := func(ip, hostname string) func(*corev1.Service) {
		return func(s *corev1.Service) {
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: ip, Hostname: hostname}}
		}
	}
	endpoint := func(kind teapotv1.EndpointType, host string) func(*Input) {
		return func(in *Input) { in.Spec.Endpoint = teapotv1.EndpointSpec{Type: kind, Host: host} }
	}
	nodes := []corev1.Node{node("young", 1, "192.0.2.1"), node("old", 9, "192.0.2.9"), node("oldest", 99, "")}
	tests := map[string]struct {
		input   func(*Input)
		service func(*corev1.Service)
		nodes   []corev1.Node
		want    Endpoint
		reason  string
	}{
		"node port: the oldest node with an address": {nodes: nodes, want: Endpoint{"192.0.2.9", "192.0.2.9", 30443, 30132}},
		"node port: the tenant's first family": {
			nodes: append([]corev1.Node{node("six", 500, "2001:db8::6")}, nodes...),
			want:  Endpoint{"192.0.2.9", "192.0.2.9", 30443, 30132}},
		"node port: IPv6 first": {
			nodes: append([]corev1.Node{node("six", 0, "2001:db8::6")}, nodes...),
			input: func(in *Input) { in.Spec.Network.ServiceCIDR = "fd00:96::/112,10.96.0.0/16" },
			want:  Endpoint{"2001:db8::6", "2001:db8::6", 30443, 30132}},
		"node port: no address of the tenant's first family": {nodes: nodes,
			input:  func(in *Input) { in.Spec.Network.ServiceCIDR = "fd00:96::/112" },
			reason: teapotv1.ReasonAddressFamily},
		"cluster IP: of the tenant's first family": {
			input: func(in *Input) {
				in.Spec.Endpoint.Type, in.Spec.Network.ServiceCIDR = teapotv1.EndpointClusterIP, "fd00:96::/112"
			},
			service: func(s *corev1.Service) { s.Spec.ClusterIPs = []string{"198.51.100.8", "2001:db8::8"} },
			want:    Endpoint{"2001:db8::8", "2001:db8::8", 6443, 8132}},
		"node port: what was chosen stays": {nodes: nodes,
			service: func(s *corev1.Service) {
				s.Annotations = map[string]string{teapotv1.EndpointHostAnnotation: "192.0.2.77"}
			},
			want: Endpoint{"192.0.2.77", "192.0.2.77", 30443, 30132}},
		"node port: the operator's address": {nodes: nodes,
			input: func(in *Input) { in.Settings.NodePortAddress = "192.0.2.50" },
			want:  Endpoint{"192.0.2.50", "192.0.2.50", 30443, 30132}},
		"node port: an address that was asked for": {nodes: nodes,
			input: endpoint(teapotv1.EndpointNodePort, "192.0.2.60"), want: Endpoint{"192.0.2.60", "192.0.2.60", 30443, 30132}},
		"node port: a name needs an address to dial": {nodes: nodes,
			input: endpoint(teapotv1.EndpointNodePort, "api.example"), want: Endpoint{"api.example", "192.0.2.9", 30443, 30132}},
		"node port: no node": {reason: teapotv1.ReasonNoNodeAddress},
		"node port: not allocated yet": {service: func(s *corev1.Service) { s.Spec.Ports[1].NodePort = 0 }, nodes: nodes,
			reason: teapotv1.ReasonWaitingForService},
		"without konnectivity its port is not waited for": {nodes: nodes,
			input:   func(in *Input) { in.Spec.Addons.Konnectivity.Enabled = ptr.To(false) },
			service: func(s *corev1.Service) { s.Spec.Ports = s.Spec.Ports[:1] },
			want:    Endpoint{"192.0.2.9", "192.0.2.9", 30443, 0}},
		"cluster IP": {input: endpoint(teapotv1.EndpointClusterIP, ""), want: Endpoint{"198.51.100.8", "198.51.100.8", 6443, 8132}},
		"load balancer: no address yet": {input: endpoint(teapotv1.EndpointLoadBalancer, ""),
			reason: teapotv1.ReasonWaitingForLoadBalancer},
		"load balancer: an address": {input: endpoint(teapotv1.EndpointLoadBalancer, ""), service: ingress("192.0.2.20", ""),
			want: Endpoint{"192.0.2.20", "192.0.2.20", 6443, 8132}},
		"load balancer: a name for users, the address for machines": {input: endpoint(teapotv1.EndpointLoadBalancer, "api.example"),
			service: ingress("192.0.2.20", ""), want: Endpoint{"api.example", "192.0.2.20", 6443, 8132}},
		"load balancer: its address is away": {
			input: func(in *Input) {
				in.Spec.Endpoint.Type, in.Known.Address = teapotv1.EndpointLoadBalancer, "192.0.2.21"
			},
			want: Endpoint{"192.0.2.21", "192.0.2.21", 6443, 8132}},
		"load balancer: a new address": {
			input: func(in *Input) {
				in.Spec.Endpoint.Type, in.Known.Address = teapotv1.EndpointLoadBalancer, "192.0.2.21"
			},
			service: ingress("192.0.2.20", ""), want: Endpoint{"192.0.2.20", "192.0.2.20", 6443, 8132}},
		"load balancer: only a name": {input: endpoint(teapotv1.EndpointLoadBalancer, ""), service: ingress("", "lb.example"),
			reason: teapotv1.ReasonLoadBalancerHasNoIP},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ResolveEndpoint(testInput(test.input), service(test.service), test.nodes)
			if test.reason != "" {
				unresolved, ok := err.(*NotResolved)
				if !ok || unresolved.Reason != test.reason {
					t.Fatalf("error = %v, want reason %s", err, test.reason)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}
