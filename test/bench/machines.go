package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/internal/manifest"
	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/image"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

const (
	// roomMachine is the first machine of the room that joins through the whole chain. The demo uses
	// the first ones of all, test/e2e those before this one.
	roomMachine = 28
	// noChecksum stands where the room compares none.
	noChecksum = "0000000000000000000000000000000000000000000000000000000000000000"
	// joinedWithin is how long a machine may take from power to Ready.
	joinedWithin = 3 * time.Minute
)

//go:embed machines.yaml
var machinesManifest string

// tenantWithMachines is a control plane that machines join: by hand, and through the chain.
type tenantWithMachines struct {
	*bench
	name   string
	config *rest.Config
	nodes  kubernetes.Interface
	image  string
}

// measurePowerOn takes power_on_to_ready: power to Node Ready, through the whole chain and with
// hand-written user data in turns. Both machines join the same control plane.
func (b *bench) measurePowerOn(ctx context.Context, o options) ([]Result, error) {
	t, err := b.newTenantWithMachines(ctx, 1)
	if err != nil {
		return nil, err
	}
	objects, err := t.manifests()
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if err := b.client.Create(ctx, object); err != nil {
			return nil, fmt.Errorf("creating %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	// What boots first of all reads the image from disk.
	if _, err := t.joinByHand(ctx, 0); err != nil {
		return nil, err
	}
	progress("a machine booted by hand, not counted")
	var hand, chain []float64
	for i := range o.n {
		byHand, err := t.joinByHand(ctx, 0)
		if err != nil {
			return nil, err
		}
		ours, err := t.joinThroughChain(ctx)
		if err != nil {
			return nil, err
		}
		progress("machines %d/%d: by hand %.2f s, through the chain %.2f s", i+1, o.n, byHand, ours)
		hand, chain = append(hand, byHand), append(chain, ours)
	}
	return []Result{newResult(powerOnToReady, "s", chain, hand)}, b.unregister(ctx)
}

// newTenantWithMachines makes a control plane, and hosts for so many machines.
func (b *bench) newTenantWithMachines(ctx context.Context, count int) (*tenantWithMachines, error) {
	builds, err := build.NewBuilder(progress)
	if err != nil {
		return nil, err
	}
	images := &image.Builder{Dir: filepath.Join(b.room.Dir, "images"), Builds: builds}
	t := &tenantWithMachines{bench: b}
	if t.image, err = images.Ensure(ctx, b.version); err != nil {
		return nil, err
	}
	if err := b.room.Grow(ctx, roomMachine+count); err != nil {
		return nil, fmt.Errorf("making machines in the machine room (bin/machineroom up): %w", err)
	}
	its, err := t.roomMachines(ctx, count)
	if err != nil {
		return nil, err
	}
	if err := b.register(ctx, its); err != nil {
		return nil, err
	}

	tenant := b.newTenant()
	t.name = tenant.Name
	if _, err := b.create(ctx, tenant); err != nil {
		return nil, err
	}
	if t.config, err = b.byAddress(ctx, t.name); err != nil {
		return nil, err
	}
	t.config.QPS, t.config.Dial = -1, netdial.DialContext
	if t.nodes, err = kubernetes.NewForConfig(t.config); err != nil {
		return nil, err
	}
	return t, b.waitReady(ctx, tenant)
}

// roomMachines are the first machines that join through the chain.
func (t *tenantWithMachines) roomMachines(ctx context.Context, count int) ([]control.Machine, error) {
	its := make([]control.Machine, count)
	for i := range its {
		var err error
		if its[i], err = t.room.Get(ctx, room.IdentityOf(roomMachine+i).Name); err != nil {
			return nil, err
		}
	}
	return its, nil
}

// manifests are the Cluster API objects of a MachineDeployment.
func (t *tenantWithMachines) manifests() ([]*unstructured.Unstructured, error) {
	filled := os.Expand(machinesManifest, func(name string) string {
		return map[string]string{
			"NAMESPACE": tenantsNamespace, "NAME": t.name, "VERSION": t.version,
			"IMAGE": imageURL + t.image, "CHECKSUM": noChecksum, "HOST_LABEL": hostLabel,
		}[name]
	})
	objects, err := manifest.Parse([]byte(filled))
	if err != nil {
		return nil, fmt.Errorf("reading machines.yaml: %w", err)
	}
	return objects, nil
}

// joinThroughChain asks for one machine and returns the seconds from its power to its Node being
// Ready; then it gives the machine back.
func (t *tenantWithMachines) joinThroughChain(ctx context.Context) (float64, error) {
	if err := t.scale(ctx, 1); err != nil {
		return 0, err
	}
	at, err := t.nodesReady(ctx, 1, atLeast)
	if err != nil {
		return 0, err
	}
	since, err := t.powerSince(ctx, 1)
	if err != nil {
		return 0, err
	}
	if err := t.scale(ctx, 0); err != nil {
		return 0, err
	}
	return at.Sub(since[0]).Seconds(), t.givenBack(ctx, 1)
}

// powerSince is since when machines that joined through the chain have power, the first one first.
func (t *tenantWithMachines) powerSince(ctx context.Context, count int) ([]time.Time, error) {
	its, err := t.roomMachines(ctx, count)
	if err != nil {
		return nil, err
	}
	since := make([]time.Time, count)
	for i, each := range its {
		if !each.Power || each.Boots != room.FromDisk {
			return nil, fmt.Errorf("machine %s does not run from its disk although its Node is Ready", each.Name)
		}
		since[i] = each.PowerSince
	}
	slices.SortFunc(since, time.Time.Compare)
	return since, nil
}

// givenBack waits until no Machine is left and the hosts can be claimed again.
func (t *tenantWithMachines) givenBack(ctx context.Context, count int) error {
	err := waitFor(ctx, atLeast, "machines to be given back", func(ctx context.Context) (bool, error) {
		left := &clusterv1.MachineList{}
		err := t.client.List(ctx, left, client.InNamespace(tenantsNamespace))
		return len(left.Items) == 0, err
	})
	if err != nil {
		return err
	}
	return t.awaitAvailable(ctx, count)
}

func (t *tenantWithMachines) scale(ctx context.Context, replicas int) error {
	deployment := &clusterv1.MachineDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: tenantsNamespace, Name: t.name}}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	if err := t.client.Patch(ctx, deployment, patch); err != nil {
		return fmt.Errorf("scaling MachineDeployment %s: %w", t.name, err)
	}
	return nil
}

func isReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
