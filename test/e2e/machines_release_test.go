package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metal3 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/orphans"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// marker is what a tenant leaves on a disk.
const (
	markerFile = "/root/marker"
	marker     = "e2e-was-here-4f1c2a"
)

// hostIsGivenBack takes one of a tenant's machines away. Its disk has the tenant's data until then.
func hostIsGivenBack(t *testing.T, f *fleet, x *machinesTenant, name string) {
	all := x.machines(t, len(f.names))
	index := slices.IndexFunc(all, func(j joined) bool { return j.on == name })
	leaving, staying := all[index], all[1-index]
	if _, err := f.on(t.Context(), name, nil, "sh", "-c", "echo "+marker+" > "+markerFile+" && sync"); err != nil {
		t.Fatal(err)
	}
	if holding := f.onDisk(t, name, marker); len(holding) == 0 {
		t.Fatal("the marker is not found on the disk")
	}
	// Cluster API chooses the machine that is marked so.
	patch := client.MergeFrom(leaving.machine.DeepCopy())
	metav1.SetMetaDataAnnotation(&leaving.machine.ObjectMeta, clusterv1.DeleteMachineAnnotation, "true")
	if err := management.Patch(t.Context(), &leaving.machine, patch); err != nil {
		t.Fatal(err)
	}
	x.scale(t, 1)
	f.becomesFree(t, name)
	if holding := f.onDisk(t, name, marker); len(holding) > 0 {
		t.Errorf("the marker is still on the disk: %v", holding)
	}
	eventually(t, time.Minute, "all of the machine to be gone", func(ctx context.Context) error {
		return goneAll(ctx, &leaving.machine, &leaving.host, &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: leaving.host.Name}})
	})
	if _, err := x.user.CoreV1().Nodes().Get(t.Context(), leaving.machine.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Node is still there: %v", err)
	}
	if left := x.machines(t, 1); left[0].machine.UID != staying.machine.UID {
		t.Errorf("the machine that stayed is %s, want %s", left[0].machine.Name, staying.machine.Name)
	}
	readyNode(t, x.user, staying.machine.Name)
}

func goneAll(ctx context.Context, objects ...client.Object) error {
	var problems []error
	for _, object := range objects {
		err := management.Get(ctx, client.ObjectKeyFromObject(object), object)
		if err == nil {
			err = fmt.Errorf("%T %s is still there", object, object.GetName())
		}
		problems = append(problems, client.IgnoreNotFound(err))
	}
	return errors.Join(problems...)
}

// becomesFree waits until a host is what it was before anybody had it.
func (f *fleet) becomesFree(t *testing.T, name string) {
	t.Helper()
	eventually(t, releasedWithin, name+" to be free", func(ctx context.Context) error {
		host, err := f.host(ctx, name)
		if err != nil {
			return err
		}
		if host.Status.Provisioning.State != metal3.StateAvailable || host.Status.PoweredOn || host.Spec.Online || host.Spec.ConsumerRef != nil ||
			host.Spec.Image != nil || host.Spec.UserData != nil || host.Spec.MetaData != nil || host.Spec.NetworkData != nil {
			return fmt.Errorf("it is %s, powered on %t, spec %+v", host.Status.Provisioning.State, host.Status.PoweredOn, host.Spec)
		}
		return nil
	})
	secrets := &corev1.SecretList{}
	if err := management.List(t.Context(), secrets, client.InNamespace(f.namespace), client.HasLabels{teapotv1.ClaimNameLabel}); err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets.Items {
		if len(secret.OwnerReferences) == 0 || secret.OwnerReferences[0].Name == name {
			t.Errorf("Secret %s is still beside the host", secret.Name)
		}
	}
	if m := f.machine(t, name); m.Power || m.Image != "" {
		t.Errorf("the machine is powered on: %t, its disk has image %q", m.Power, m.Image)
	}
}

// onDisk names the files of a machine's disk that hold a text.
func (f *fleet) onDisk(t *testing.T, name, text string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(filepath.Join(room.MachineDir(f.room.Dir, name), "disk"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			if errors.Is(err, os.ErrNotExist) {
				return nil // it is erased, or the machine runs
			}
			if err == nil && strings.HasPrefix(entry.Name(), "io.containerd.") {
				return fs.SkipDir // the image's
			}
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(content), text) {
			found = append(found, path)
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// nextTenantGetsIt has another tenant take the host. Nothing of the first is on it.
func nextTenantGetsIt(t *testing.T, f *fleet, before, x *machinesTenant, name string) {
	x.scale(t, 1)
	now := x.machines(t, 1)[0]
	if now.on != name {
		t.Fatalf("the machine is on %s, want %s", now.on, name)
	}
	readyNode(t, x.user, now.machine.Name)
	addOnsRun(t, x.user, 1)
	if _, err := f.on(t.Context(), name, nil, "test", "!", "-e", markerFile); err != nil {
		t.Errorf("the marker of the former tenant is there: %v", err)
	}
	address := before.endpoint(t)
	for what, text := range map[string]string{"marker": marker, "name": before.name, "namespace": before.namespace, "API's address": address} {
		if found := f.onDisk(t, name, text); len(found) > 0 {
			t.Errorf("the former tenant's %s is in %v", what, found)
		}
	}
	// The control: so the new one's is found.
	if found := f.onDisk(t, name, x.endpoint(t)); len(found) == 0 {
		t.Error("the tenant's own API's address is not found on the disk")
	}
}

// deadTenantReleases takes a tenant's API and etcd away, then its machine. Nobody can drain it,
// nor delete its Node.
func deadTenantReleases(t *testing.T, f *fleet, x *machinesTenant, name string) {
	tcp := get(t, x.namespace, x.name)
	// Else Teapot would repair it.
	edit(t, tcp, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Paused = true })
	says(t, tcp, teapotv1.PausedCondition, metav1.ConditionTrue, teapotv1.ReasonPaused, 30*time.Second)
	for _, object := range []client.Object{
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: tcp.Status.Namespace, Name: controlplane.ControlPlaneName}},
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: tcp.Status.Namespace, Name: controlplane.EtcdName}},
	} {
		if err := management.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":0}}`))); err != nil {
			t.Fatal(err)
		}
	}
	for _, component := range []string{controlplane.ControlPlaneName, controlplane.EtcdName} {
		kill(t, tcp, component)
	}
	eventually(t, time.Minute, "the tenant's API to be dead", func(context.Context) error {
		if version, err := x.user.Discovery().ServerVersion(); err == nil {
			return fmt.Errorf("it answers: %s", version)
		}
		return nil
	})

	// As Teapot would see it two minutes later if it were not paused.
	edit(t, tcp, func(*teapotv1.TenantControlPlane) {}) // the newest
	before := tcp.DeepCopy()
	for i := range tcp.Status.Conditions {
		if c := &tcp.Status.Conditions[i]; c.Type == teapotv1.AvailableCondition {
			c.Status, c.Reason, c.LastTransitionTime = metav1.ConditionFalse, teapotv1.ReasonNotAnswering, metav1.NewTime(time.Now().Add(-3*time.Minute))
		}
	}
	if err := management.Status().Patch(t.Context(), tcp, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}

	deployment := &clusterv1.MachineDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: x.name + "-workers"}}
	drainsFor(t, deployment, 15*time.Minute)
	if err := management.Delete(t.Context(), deployment, &client.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)}); err != nil {
		t.Fatal(err)
	}
	f.becomesFree(t, name)
	eventually(t, 2*time.Minute, "the MachineDeployment to be gone", func(ctx context.Context) error { return goneAll(ctx, deployment) })
	if _, err := x.user.Discovery().ServerVersion(); err == nil {
		t.Error("the tenant's API answered meanwhile, so nothing was shown")
	}
	edit(t, tcp, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Paused = false })
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
}

// drainsFor gives a deployment's machines so long to drain, and waits until they have it.
func drainsFor(t *testing.T, deployment *clusterv1.MachineDeployment, limit time.Duration) {
	t.Helper()
	seconds := int32(limit.Seconds())
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"deletion":{"nodeDrainTimeoutSeconds":%d,"nodeVolumeDetachTimeoutSeconds":%[1]d}}}}}`, seconds)
	if err := management.Patch(t.Context(), deployment, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the machines to have their time to drain", func(ctx context.Context) error {
		machines := &clusterv1.MachineList{}
		if err := management.List(ctx, machines, client.InNamespace(deployment.Namespace)); err != nil {
			return err
		}
		for i := range machines.Items {
			if has := ptr.Deref(machines.Items[i].Spec.Deletion.NodeDrainTimeoutSeconds, 0); has != seconds {
				return fmt.Errorf("machine %s has %d s", machines.Items[i].Name, has)
			}
		}
		return nil
	})
}

// newOrphan makes a claim whose HostMachine is not there. Kubernetes' garbage collector would
// delete it at once if it knew the owner's version.
func newOrphan(t *testing.T, x *machinesTenant) *teapotv1.MachineClaim {
	t.Helper()
	claim := &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: "orphan", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: teapotv1.GroupVersion.Group + "/v0", Kind: "HostMachine", Name: "restored-without", UID: uuid.NewUUID(), Controller: ptr.To(true),
	}}}}
	claim.Spec.Image = teapotv1.Image{URL: "http://" + node.NodeIP + "/none", Checksum: strings.Repeat("0", 64)}
	claim.Spec.HostSelector.MatchLabels = map[string]teapotv1.LabelValue{hostLabel + "nobody": "true"}
	if err := management.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	return claim
}

// orphanIsTold waits for the sweep to tell of an orphan. It is deleted after minutes, in case what
// owns it is about to come; controllers/orphans tests that.
func orphanIsTold(t *testing.T, claim *teapotv1.MachineClaim) {
	eventually(t, 3*orphans.Interval, "the orphan to be told of", func(ctx context.Context) error {
		list := &eventsv1.EventList{}
		if err := management.List(ctx, list, client.InNamespace(claim.Namespace)); err != nil {
			return err
		}
		for _, event := range list.Items {
			if event.Regarding.UID == claim.UID && event.Reason == teapotv1.ReasonOrphaned {
				return contains(event.Note, []string{"restored-without"})
			}
		}
		return errors.New("there is no event")
	})
}
