package controlplane

import (
	"fmt"
	"net"
	"path"
	"strconv"

	"github.com/teapot-cloud/teapot/konnectivity"
)

func credential(name string) string { return path.Join(credentialsDir, name) }

// Issuer is the issuer of the tenant's service-account tokens. It does not depend on an
// address, so tokens outlive every change of the endpoint.
func Issuer(dnsDomain string) string { return "https://kubernetes.default.svc." + dnsDomain }

// apiServerArgs are kubeadm's (cmd/kubeadm/app/phases/controlplane/manifests.go, v1.36.3)
// with what a hosted API server needs otherwise; each such line says why.
func apiServerArgs(in Input) []string {
	network := in.Spec.Network
	issuer := Issuer(network.DNSDomain)
	args := []string{
		"--allow-privileged=true",
		// The agents' tokens are for konnectivity's audience; the first is the default.
		fmt.Sprintf("--api-audiences=%s,%s", issuer, konnectivity.Audience),
		"--authorization-mode=Node,RBAC",
		"--client-ca-file=" + credential("ca.crt"),
		// No way out but through konnectivity.
		"--egress-selector-config-file=" + credential(egressFile),
		"--enable-admission-plugins=NodeRestriction",
		"--enable-bootstrap-token-auth=true",
		// The pod's own address is of no use to machines: Teapot writes the endpoints.
		"--endpoint-reconciler-type=none",
		"--etcd-cafile=" + credential("etcd-ca.crt"),
		"--etcd-certfile=" + credential("apiserver-etcd-client.crt"),
		"--etcd-keyfile=" + credential("apiserver-etcd-client.key"),
		"--etcd-servers=https://" + net.JoinHostPort(in.EtcdClientIP, strconv.Itoa(PortEtcdClient)),
		"--kubelet-client-certificate=" + credential("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + credential("apiserver-kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
		"--profiling=false",
		"--proxy-client-cert-file=" + credential("front-proxy-client.crt"),
		"--proxy-client-key-file=" + credential("front-proxy-client.key"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-client-ca-file=" + credential("front-proxy-ca.crt"),
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--secure-port=" + strconv.Itoa(PortAPIServer),
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + credential("sa.pub"),
		"--service-account-signing-key-file=" + credential("sa.key"),
		"--service-cluster-ip-range=" + network.ServiceCIDR,
		// While a replica that ends is still named by Services, it serves: longer than
		// kube-proxy takes to hear of its end.
		"--shutdown-delay-duration=5s",
		// And then it ends its watches, which go on at another replica. Otherwise it would wait
		// for clients to end them, which informers never do, until the kubelet kills it.
		"--shutdown-watch-termination-grace-period=5s",
		"--tls-cert-file=" + credential("apiserver.crt"),
		"--tls-private-key-file=" + credential("apiserver.key"),
	}
	if usesOIDC(in) {
		args = append(args, "--authentication-config="+credential(authenticationFile))
	}
	return args
}

// controllerManagerArgs are kubeadm's; the address is the pod's, since the kubelet
// probes it there.
func controllerManagerArgs(in Input) []string {
	kubeconfig := credential(controllerManagerConf)
	return []string{
		"--allocate-node-cidrs=true",
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--client-ca-file=" + credential("ca.crt"),
		"--cluster-cidr=" + in.Spec.Network.PodCIDR,
		"--cluster-name=" + in.ClusterName,
		"--cluster-signing-cert-file=" + credential("ca.crt"),
		"--cluster-signing-key-file=" + credential("ca.key"),
		"--controllers=*,bootstrapsigner,tokencleaner",
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=true",
		"--profiling=false",
		"--requestheader-client-ca-file=" + credential("front-proxy-ca.crt"),
		"--root-ca-file=" + credential("ca.crt"),
		"--service-account-private-key-file=" + credential("sa.key"),
		"--service-cluster-ip-range=" + in.Spec.Network.ServiceCIDR,
		"--use-service-account-credentials=true",
	}
}

func schedulerArgs() []string {
	kubeconfig := credential(schedulerConf)
	return []string{
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=true",
		"--profiling=false",
	}
}
