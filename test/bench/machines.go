package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/machineroom/control"
	handwritten "github.com/teapot-cloud/teapot/test/machineroom/floor"
	"github.com/teapot-cloud/teapot/test/machineroom/image"
	"github.com/teapot-cloud/teapot/test/machineroom/machine"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

const (
	// roomMachine is the machine of the room that joins through the whole chain. The demo uses the
	// first ones, test/e2e those before this one.
	roomMachine = 28
	// handName is the machine with hand-written user data. It is not the room's: nobody but the
	// bench switches it on.
	handName = "bench-by-hand"
	// handAddress and handMAC are below those of the room's machines and of test/e2e.
	handAddress = "172.30.0.70/24"
	handMAC     = "52:54:00:ff:00:70"
	// noChecksum stands where the room compares none.
	noChecksum = "0000000000000000000000000000000000000000000000000000000000000000"
	// joinedWithin is how long a machine may take from power to Ready.
	joinedWithin = 3 * time.Minute
)

//go:embed machines.yaml
var machinesManifest string

// tenantWithMachines is a control plane that machines join: one by hand, and one through the chain.
type tenantWithMachines struct {
	*bench
	name   string
	config *rest.Config
	nodes  kubernetes.Interface
	image  string
	hand   *machine.Machine
}

// measurePowerOn takes power_on_to_ready: power to Node Ready, through the whole chain and with
// hand-written user data in turns. Both machines join the same control plane.
func (b *bench) measurePowerOn(ctx context.Context, o options) ([]Result, error) {
	t, err := b.newTenantWithMachines(ctx)
	if err != nil {
		return nil, err
	}
	// What boots first of all reads the image from disk.
	if _, err := t.joinByHand(ctx); err != nil {
		return nil, err
	}
	progress("a machine booted by hand, not counted")
	var hand, chain []float64
	for i := range o.n {
		byHand, err := t.joinByHand(ctx)
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

// newTenantWithMachines makes a control plane, a MachineDeployment of no machines, and a host for
// its one.
func (b *bench) newTenantWithMachines(ctx context.Context) (*tenantWithMachines, error) {
	builds, err := build.NewBuilder(progress)
	if err != nil {
		return nil, err
	}
	images := &image.Builder{Dir: filepath.Join(b.room.Dir, "images"), Builds: builds}
	t := &tenantWithMachines{bench: b, hand: b.handMachine()}
	if t.image, err = images.Ensure(ctx, b.version); err != nil {
		return nil, err
	}
	if err := b.room.Grow(ctx, roomMachine+1); err != nil {
		return nil, fmt.Errorf("making machines in the machine room (bin/machineroom up): %w", err)
	}
	its, err := b.room.Get(ctx, room.IdentityOf(roomMachine).Name)
	if err != nil {
		return nil, err
	}
	if err := b.register(ctx, []control.Machine{its}); err != nil {
		return nil, err
	}

	tenant := b.newTenant()
	t.name = tenant.Name
	if _, err := b.create(ctx, tenant); err != nil {
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
	kubeconfig, err := b.userKubeconfig(ctx, t.name)
	if err != nil {
		return nil, err
	}
	if t.config, err = clientcmd.RESTConfigFromKubeConfig(kubeconfig); err != nil {
		return nil, fmt.Errorf("reading a user's kubeconfig: %w", err)
	}
	t.config.QPS, t.config.Dial = -1, netdial.DialContext
	if t.nodes, err = kubernetes.NewForConfig(t.config); err != nil {
		return nil, err
	}
	return t, b.waitReady(ctx, tenant)
}

// manifests are the Cluster API objects of a MachineDeployment.
func (t *tenantWithMachines) manifests() ([]*unstructured.Unstructured, error) {
	filled := os.Expand(machinesManifest, func(name string) string {
		return map[string]string{
			"NAMESPACE": tenantsNamespace, "NAME": t.name, "VERSION": t.version,
			"IMAGE": imageURL + t.image, "CHECKSUM": noChecksum, "HOST_LABEL": hostLabel,
		}[name]
	})
	var objects []*unstructured.Unstructured
	for decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(filled)), 4096); ; {
		object := &unstructured.Unstructured{}
		switch err := decoder.Decode(object); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("reading machines.yaml: %w", err)
		}
		objects = append(objects, object)
	}
}

// joinThroughChain asks for one machine and returns the seconds from its power to its Node being
// Ready; then it gives the machine back.
func (t *tenantWithMachines) joinThroughChain(ctx context.Context) (float64, error) {
	if err := t.scale(ctx, 1); err != nil {
		return 0, err
	}
	at, err := t.nodeReady(ctx, atLeast)
	if err != nil {
		return 0, err
	}
	its, err := t.room.Get(ctx, room.IdentityOf(roomMachine).Name)
	if err != nil {
		return 0, err
	}
	if !its.Power || its.Boots != room.FromDisk {
		return 0, fmt.Errorf("machine %s does not run from its disk although a Node is Ready", its.Name)
	}
	if err := t.scale(ctx, 0); err != nil {
		return 0, err
	}
	err = waitFor(ctx, atLeast, "the machine to be given back", func(ctx context.Context) (bool, error) {
		left := &clusterv1.MachineList{}
		err := t.client.List(ctx, left, client.InNamespace(tenantsNamespace))
		return len(left.Items) == 0, err
	})
	if err != nil {
		return 0, err
	}
	return at.Sub(its.PowerSince).Seconds(), t.awaitAvailable(ctx, 1)
}

func (t *tenantWithMachines) scale(ctx context.Context, replicas int) error {
	deployment := &clusterv1.MachineDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: tenantsNamespace, Name: t.name}}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	if err := t.client.Patch(ctx, deployment, patch); err != nil {
		return fmt.Errorf("scaling MachineDeployment %s: %w", t.name, err)
	}
	return nil
}

// joinByHand boots the machine with hand-written user data and returns the seconds from its power to
// its Node being Ready; then it erases it.
func (t *tenantWithMachines) joinByHand(ctx context.Context) (float64, error) {
	join, err := handwritten.Prepare(ctx, t.config)
	if err != nil {
		return 0, err
	}
	drive, err := join.Drive(handName, "teapot://"+handName)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(t.hand.Dir, 0o755); err != nil {
		return 0, fmt.Errorf("making machine %s: %w", handName, err)
	}
	if err := t.hand.Write(ctx, t.image, drive); err != nil {
		return 0, err
	}
	if err := t.quiet(ctx); err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := t.hand.PowerOn(ctx); err != nil {
		return 0, err
	}
	at, err := t.nodeReady(ctx, joinedWithin)
	if err != nil {
		return 0, err
	}
	if err := t.removeHandMachine(ctx); err != nil {
		return 0, err
	}
	if err := t.nodes.CoreV1().Nodes().Delete(ctx, handName, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("deleting Node %s: %w", handName, err)
	}
	return at.Sub(begun).Seconds(), nil
}

// handMachine is the machine with hand-written user data, which need not exist.
func (b *bench) handMachine() *machine.Machine {
	return machine.New(machine.Config{
		Name: handName, Dir: filepath.Join(b.room.Dir, "bench", handName), MAC: handMAC, Address: netip.MustParsePrefix(handAddress),
		Gateway: netip.MustParseAddr(nodenet.NodeIP), NetNS: b.netns, Images: filepath.Join(b.room.Dir, "images"),
	})
}

// removeHandMachine cuts its power and removes all of it.
func (b *bench) removeHandMachine(ctx context.Context) error {
	hand := b.handMachine()
	if _, err := os.Stat(hand.Dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// On a busy computer the processes of a machine may outlive the patience of PowerOff.
	var last error
	if err := waitFor(ctx, goneWithin, "machine "+handName+" to be gone", func(ctx context.Context) (bool, error) {
		if last = hand.PowerOff(ctx, true); last == nil {
			last = hand.Erase(ctx)
		}
		return last == nil, nil
	}); err != nil {
		return errors.Join(err, last)
	}
	return os.RemoveAll(hand.Dir)
}

// nodeReady waits for the one Node to be Ready, and returns when that was. It watches: the
// condition's own time has whole seconds.
func (t *tenantWithMachines) nodeReady(ctx context.Context, within time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for ctx.Err() == nil {
		// Without a resource version the watch begins with what exists.
		watch, err := t.nodes.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{})
		if err != nil {
			return time.Time{}, fmt.Errorf("watching the Nodes of TenantControlPlane %s: %w", t.name, err)
		}
		for event := range watch.ResultChan() {
			if node, ok := event.Object.(*corev1.Node); ok && isReady(node) {
				watch.Stop()
				return time.Now(), nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("waiting for a machine of TenantControlPlane %s to be a Node that is Ready (bin/machineroom list): %w", t.name, ctx.Err())
}

func isReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
