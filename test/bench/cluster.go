package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// bench is a connection to the development cluster and what was found out about it.
type bench struct {
	client client.WithWatch
	dir    state.Dir
	// room is the machine room, which need not run unless machines are measured.
	room control.Client
	// netns is the path of the cluster's network namespace.
	netns string
	// version is the Kubernetes version whose images the cluster has.
	version string
	// node is the address by which NodePorts are dialled.
	node string
	// floors counts the floors that were made: each gets a namespace of its own.
	floors, tenants int
}

// connect finds the development cluster and fails with what to do when it is not there,
// or Teapot is not in it.
func connect(ctx context.Context) (*bench, error) {
	b := &bench{dir: state.FromEnvironment(), room: control.Client{Dir: room.FromEnvironment()}}
	record, err := b.dir.Load()
	if err != nil {
		return nil, err
	}
	if record == nil || !record.Ready {
		return nil, errors.New("the development cluster is not up: go run ./test/devcluster up, then make demo")
	}
	b.version, b.netns = record.KubernetesVersion, record.NetNS

	config, err := clientcmd.BuildConfigFromFlags("", b.dir.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the development cluster's kubeconfig: %w", err)
	}
	config.QPS = -1 // a client that throttles itself would measure itself
	if b.client, err = client.NewWithWatch(config, client.Options{Scheme: controllers.Scheme()}); err != nil {
		return nil, fmt.Errorf("connecting to the development cluster (go run ./test/devcluster status): %w", err)
	}

	nodes := &corev1.NodeList{}
	if err := b.client.List(ctx, nodes); err != nil {
		return nil, fmt.Errorf("asking the development cluster for its nodes (go run ./test/devcluster status): %w", err)
	}
	for _, node := range nodes.Items {
		for _, address := range node.Status.Addresses {
			if _, err := netip.ParseAddr(address.Address); err == nil && address.Type == corev1.NodeInternalIP {
				b.node = address.Address
			}
		}
	}
	if b.node == "" {
		return nil, errors.New("the development cluster has no node with an address: go run ./test/devcluster status")
	}
	err = b.client.List(ctx, &teapotv1.TenantControlPlaneList{}, client.Limit(1))
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil, errors.New("Teapot is not installed in the development cluster: make demo")
	}
	if err != nil {
		return nil, fmt.Errorf("asking for TenantControlPlanes: %w", err)
	}
	return b, nil
}

// lock keeps a second bench away: each would disturb and clean up the other.
func (b *bench) lock(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	release, err := state.Lock(ctx, b.dir.Path("bench.lock"))
	if err != nil {
		return nil, fmt.Errorf("another bench seems to run: %w", err)
	}
	return release, nil
}

// label is on every namespace that a bench makes, and tells what it is for.
const label = "teapot.dev/bench"

// tenantsNamespace is where the TenantControlPlanes of a bench are.
const tenantsNamespace = "teapot-bench"

// setUp makes the namespace of the TenantControlPlanes.
func (b *bench) setUp(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: tenantsNamespace, Labels: map[string]string{label: "tenants"},
	}}
	if err := b.client.Create(ctx, namespace); err != nil {
		return fmt.Errorf("creating namespace %s: %w", tenantsNamespace, err)
	}
	return nil
}
