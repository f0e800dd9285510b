package e2e

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/netpolicy"
)

const (
	// connectsWithin is how long a wanted connection may take on a busy machine.
	connectsWithin = 10 * time.Second
	// silence is how long an unwanted one is given. That the same address answers the node
	// at once is tried first.
	silence = time.Second
)

// flow is one connection that somebody could open.
type flow struct {
	// from is a network namespace.
	name, from, to string
}

func (i *isolation) wantedFlows(t *testing.T) {
	controlPlane := inside(t, i.controlPlane, "kube-apiserver")
	bystander := inside(t, i.bystander, "pause")
	wayIn, etcd := i.service(t, i.tenant, controlplane.ControlPlaneName), i.service(t, i.tenant, controlplane.EtcdName)
	flows := []flow{
		{"the control plane to its etcd", controlPlane, address(i.etcd.Status.PodIP, controlplane.PortEtcdClient)},
		{"the control plane to its etcd by the Service", controlPlane, address(etcd.Spec.ClusterIP, controlplane.PortEtcdClient)},
	}
	for _, port := range wayIn.Spec.Ports {
		for name, from := range map[string]string{"the node": node.NetNS, "a pod of another namespace": bystander} {
			flows = append(flows,
				flow{name + " to " + port.Name, from, address(i.controlPlane.Status.PodIP, port.TargetPort.IntVal)},
				flow{name + " to " + port.Name + " by the Service", from, address(wayIn.Spec.ClusterIP, port.Port)},
				flow{name + " to " + port.Name + " by the node port", from, address(node.NodeIP, port.NodePort)})
		}
	}
	for _, f := range flows {
		if err := connect(t.Context(), f.from, f.to, connectsWithin); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	if err := askDNS(t.Context(), bystander, clusterDNS(t), connectsWithin); err != nil {
		t.Errorf("a pod of another namespace asks the cluster's DNS: %v", err)
	}
}

func (i *isolation) unwantedFlows(t *testing.T) {
	newMachine(t)
	outside := strings.TrimSuffix(strings.TrimPrefix(serveWebhook(t, machinePath, machineIP).url, "https://"), "/validate")
	neighbour := pods(t, i.neighbour, controlplane.ControlPlaneName)[0]
	neighboursEtcd := pods(t, i.neighbour, controlplane.EtcdName)[0]
	dns := clusterDNS(t)
	etcd := i.service(t, i.tenant, controlplane.EtcdName).Spec.ClusterIP
	gateway, linkLocal := podBridge(t)

	var flows []flow
	add := func(who, from, to string) { flows = append(flows, flow{who + " to " + to, from, to}) }
	for _, outsider := range []struct{ who, from string }{
		{"a pod of another namespace", inside(t, i.bystander, "pause")},
		{"another tenant's control plane", inside(t, neighbour, "kube-apiserver")},
		{"another tenant's etcd", inside(t, neighboursEtcd, "etcd")},
	} {
		for _, port := range []int32{controlplane.PortEtcdClient, controlplane.PortEtcdPeer, controlplane.PortEtcdMetrics} {
			add(outsider.who, outsider.from, address(i.etcd.Status.PodIP, port))
		}
		for _, port := range []int32{controlplane.PortControllerManager, controlplane.PortScheduler, controlplane.PortKonnectivityHealth} {
			add(outsider.who, outsider.from, address(i.controlPlane.Status.PodIP, port))
		}
		add(outsider.who, outsider.from, address(etcd, controlplane.PortEtcdClient))
	}
	for who, from := range map[string]string{
		"the control plane": inside(t, i.controlPlane, "kube-apiserver"),
		"etcd":              inside(t, i.etcd, "etcd"),
	} {
		for _, to := range []string{
			address(managementService(t), 443), address(node.NodeIP, 6443), address(gateway, 6443), // the management API
			address(node.NodeIP, 10250), address(gateway, 10250), // the kubelet
			address(linkLocal, 6443), address(linkLocal, 10250),
			address(neighboursEtcd.Status.PodIP, controlplane.PortEtcdClient), address(neighbour.Status.PodIP, controlplane.PortAPIServer),
			address(i.service(t, i.neighbour, controlplane.EtcdName).Spec.ClusterIP, controlplane.PortEtcdClient),
			address(node.NodeIP, int32(i.neighbour.Status.Endpoint.Port)),
			dns, outside,
		} {
			add(who, from, to)
		}
		if who == "etcd" {
			add(who, from, address(i.controlPlane.Status.PodIP, controlplane.PortAPIServer))
		} else {
			add(who, from, address(i.etcd.Status.PodIP, controlplane.PortEtcdPeer))
			add(who, from, address(i.etcd.Status.PodIP, controlplane.PortEtcdMetrics))
		}
		t.Run(who+" asks the cluster's DNS", func(t *testing.T) {
			t.Parallel()
			if err := askDNS(t.Context(), from, dns, silence); !isTimeout(err) {
				t.Errorf("want silence, got %v", err)
			}
		})
	}
	for _, f := range flows {
		// What nobody listens to would be silent for everybody. On the node the bridge has its
		// own name.
		if err := connect(t.Context(), node.NetNS, strings.Replace(f.to, "%eth0", "%"+netpolicy.PodBridge, 1), connectsWithin); err != nil {
			t.Fatalf("the node to %s: %v", f.to, err)
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			if err := connect(t.Context(), f.from, f.to, silence); !isTimeout(err) {
				t.Errorf("want silence, got %v", err)
			}
		})
	}
}

// clusterDNS is the address of the management cluster's DNS.
func clusterDNS(t *testing.T) string {
	t.Helper()
	service, err := clientset.CoreV1().Services(metav1.NamespaceSystem).Get(t.Context(), "kube-dns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return address(service.Spec.ClusterIP, 53)
}

// podBridge returns the addresses by which pods reach the node's end of their bridge: IPv4,
// and IPv6 link-local with the pods' zone.
func podBridge(t *testing.T) (v4, linkLocal string) {
	t.Helper()
	if err := netdial.Do(node.NetNS, func() error {
		link, err := netlink.LinkByName(netpolicy.PodBridge)
		if err != nil {
			return err
		}
		addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		for _, a := range addresses {
			switch {
			case a.IP.To4() != nil:
				v4 = a.IP.String()
			case a.IP.IsLinkLocalUnicast():
				linkLocal = a.IP.String() + "%eth0"
			}
		}
		return err
	}); err != nil || v4 == "" || linkLocal == "" {
		t.Fatalf("addresses of %s: %q, %q, %v", netpolicy.PodBridge, v4, linkLocal, err)
	}
	return v4, linkLocal
}

func address(ip string, port int32) string { return net.JoinHostPort(ip, strconv.Itoa(int(port))) }

// connect opens a TCP connection from a network namespace and closes it.
func connect(ctx context.Context, from, to string, within time.Duration) error {
	return netdial.Do(from, func() error {
		conn, err := (&net.Dialer{Timeout: within, FallbackDelay: -1}).DialContext(ctx, "tcp", to)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// askDNS asks the cluster's DNS by UDP for the management API.
func askDNS(ctx context.Context, from, dns string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return netdial.Dialer(from)(ctx, "udp", dns)
	}}
	_, err := resolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
	return err
}

// isTimeout says whether packets got no answer at all, not even a refusal.
func isTimeout(err error) bool {
	var known net.Error
	return errors.As(err, &known) && known.Timeout()
}
