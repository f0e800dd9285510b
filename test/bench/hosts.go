package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	metal3 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/workers/host"
)

const (
	// hostsNamespace has the BareMetalHosts of a bench. Claims are in tenantsNamespace.
	hostsNamespace = "teapot-bench-hosts"
	// hostLabel is on these hosts, so that the bench's claims take no others.
	hostLabel = "bench.teapot.dev/host"
	// clients is how many requests are sent at a time where many objects are made.
	clients = 8
	// perHost is how long the operator, the room and Teapot may take for each of many hosts to be
	// registered, provisioned or given back, and atLeast for a few: the operator looks each 10 to
	// 15 s, and each of these takes it several looks.
	perHost = 2 * time.Second
	atLeast = 5 * time.Minute
)

// patienceFor is how long hosts may take for one stage of their lives.
func patienceFor(hosts int) time.Duration { return atLeast + time.Duration(hosts)*perHost }

// register makes hosts of machines, which the bench's claims may take, and returns when they are
// available.
func (b *bench) register(ctx context.Context, machines []control.Machine) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: hostsNamespace, Labels: map[string]string{label: "hosts"}}}
	policy := &host.Policy{ObjectMeta: metav1.ObjectMeta{Namespace: hostsNamespace, Name: "bench"}}
	policy.Spec.HostClaimNamespaces = &metal3.HostClaimNamespaces{Names: []string{tenantsNamespace}}
	for _, object := range []client.Object{namespace, policy} {
		if err := b.client.Create(ctx, object); err != nil {
			return fmt.Errorf("creating %T %s: %w", object, object.GetName(), err)
		}
	}
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(clients)
	for _, machine := range machines {
		object, secret := control.Host(hostsNamespace, machine)
		metav1.SetMetaDataLabel(&object.ObjectMeta, hostLabel, "true")
		if machine.Node != nil {
			return fmt.Errorf("machine %s is host %s already: delete that BareMetalHost first", machine.Name, machine.Node.Name)
		}
		group.Go(func() error {
			for _, object := range []client.Object{secret, object} {
				if err := b.client.Create(each, object); err != nil {
					return fmt.Errorf("registering host %s: %w", machine.Name, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return b.awaitAvailable(ctx, len(machines))
}

// awaitAvailable waits until so many of the bench's hosts can be claimed.
func (b *bench) awaitAvailable(ctx context.Context, count int) error {
	available := 0
	err := waitFor(ctx, patienceFor(count), fmt.Sprintf("%d hosts to be available", count), func(ctx context.Context) (bool, error) {
		hosts := &host.List{}
		if err := b.client.List(ctx, hosts, client.InNamespace(hostsNamespace)); err != nil {
			return false, err
		}
		available = 0
		for i := range hosts.Items {
			if h := host.Of(&hosts.Items[i]); h.Claimable(host.Tenant{Namespace: tenantsNamespace}) == host.Claimable {
				available++
			}
		}
		return available == count, nil
	})
	if err != nil {
		return fmt.Errorf("%w; %d are: kubectl get bmh -n %s", err, available, hostsNamespace)
	}
	return nil
}

// unregister removes the bench's pools and Clusters with their machines, its claims, and then its
// hosts, as an operator would: a host's credentials are needed until it is given back.
func (b *bench) unregister(ctx context.Context) error {
	for _, each := range []struct {
		kind      client.Object
		list      client.ObjectList
		namespace string
	}{
		{&teapotv1.WorkerPool{}, &teapotv1.WorkerPoolList{}, tenantsNamespace},
		{&clusterv1.Cluster{}, &clusterv1.ClusterList{}, tenantsNamespace},
		{&teapotv1.MachineClaim{}, &teapotv1.MachineClaimList{}, tenantsNamespace},
		{&host.Object{}, &host.List{}, hostsNamespace},
	} {
		in := client.InNamespace(each.namespace)
		if err := b.client.List(ctx, each.list, in); err != nil {
			return fmt.Errorf("listing the bench's %T: %w", each.list, err)
		}
		count := meta.LenList(each.list)
		if count == 0 {
			continue
		}
		if err := b.deleteAll(ctx, each.kind, in, patienceFor(count)); err != nil {
			return fmt.Errorf("deleting the bench's %T: %w", each.kind, err)
		}
		err := waitFor(ctx, patienceFor(count), fmt.Sprintf("%d %T in namespace %s to be gone", count, each.kind, each.namespace), func(ctx context.Context) (bool, error) {
			err := b.client.List(ctx, each.list, in, client.Limit(1))
			return meta.LenList(each.list) == 0, err
		})
		if err != nil {
			return err
		}
	}
	if err := b.room.SetFolders(ctx, 0); err != nil && !errors.Is(err, control.ErrDown) {
		return fmt.Errorf("removing machines that do not boot from the machine room: %w", err)
	}
	return b.removeNamespaces(ctx, hostsNamespace)
}

// deleteAll deletes a collection. The API server gives a request a minute, in which it may not come to the
// end of a thousand objects: then it answers that it ran out of time, or nothing, and is asked again.
func (b *bench) deleteAll(ctx context.Context, kind client.Object, in client.InNamespace, within time.Duration) error {
	return waitFor(ctx, within, "the API server to come to the end of them", func(ctx context.Context) (bool, error) {
		err := b.client.DeleteAllOf(ctx, kind, in)
		switch {
		case err == nil, apierrors.IsNotFound(err):
			return true, nil
		case apierrors.IsTimeout(err), apierrors.ReasonForError(err) == metav1.StatusReasonUnknown:
			progress("deleting the bench's %T once more: %v", kind, err)
			return false, nil
		}
		return false, err
	})
}
