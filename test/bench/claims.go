package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

const (
	// imageURL is an image of the machine room, which looks at its name alone. A machine that does
	// not boot takes any.
	imageURL = "http://172.30.0.2:6385/images/"
	// claimsData is the Secret with the user and meta data of all claims.
	claimsData = "claims-data"
	// stillFor is how long the manager must have written nothing to be done with the claims.
	stillFor = 10 * time.Second
	// steadyWindow is how long writes at rest are counted.
	steadyWindow = time.Minute
)

// measureClaims takes claims_1000, claims_1000_writes_per_claim and
// claims_steady_writes_per_minute: as many claims as hosts, all at once.
func (b *bench) measureClaims(ctx context.Context, o options) ([]Result, error) {
	if err := b.room.SetFolders(ctx, o.hosts); err != nil {
		return nil, fmt.Errorf("making %d machines that do not boot (bin/machineroom up): %w", o.hosts, err)
	}
	machines, err := b.room.List(ctx)
	if err != nil {
		return nil, err
	}
	folders := slices.DeleteFunc(machines, func(m control.Machine) bool { return room.IndexOf(m.Name) < room.FirstFolder })
	begun := time.Now()
	if err := b.register(ctx, folders); err != nil {
		return nil, err
	}
	progress("%d hosts are available after %.0f s", o.hosts, time.Since(begun).Seconds())

	data := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: tenantsNamespace, Name: claimsData}}
	data.StringData = map[string]string{"userData": "#cloud-config\n", "metaData": "{}"}
	if err := b.client.Create(ctx, data); err != nil {
		return nil, fmt.Errorf("creating Secret %s: %w", data.Name, err)
	}
	if err := b.quiet(ctx); err != nil {
		return nil, err
	}
	begun = time.Now()
	took, err := b.claimAll(ctx, o.hosts)
	if err != nil {
		return nil, err
	}
	if err := b.still(ctx); err != nil {
		return nil, err
	}
	wrote, err := b.written(window{from: begun, to: time.Now(), namespaces: benchNamespaces})
	if err != nil {
		return nil, err
	}
	perClaim := float64(wrote.sum()) / float64(o.hosts)
	progress("%d claims are Provisioned after %.1f s, with %.2f writes each: %v", o.hosts, took.Seconds(), perClaim, wrote)

	begun = time.Now()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(steadyWindow):
	}
	steady, err := b.written(window{from: begun, to: time.Now(), namespaces: benchNamespaces})
	if err != nil {
		return nil, err
	}
	progress("writes in an idle minute: %d %v", steady.sum(), steady)
	return []Result{
		newResult(claimsProvisioned, "s", []float64{took.Seconds()}, nil),
		newResult(claimsWrites, "1", []float64{perClaim}, nil),
		newResult(claimsSteadyWrites, "1/min", []float64{float64(steady.sum()) / steadyWindow.Minutes()}, nil),
	}, b.unregister(ctx)
}

// benchNamespaces are those in which the manager's writes are counted: the shared cluster has
// other tenants.
var benchNamespaces = []string{tenantsNamespace, hostsNamespace}

// claimAll makes claims and returns how long it was until the last one was Provisioned.
func (b *bench) claimAll(ctx context.Context, count int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patienceFor(count))
	defer cancel()
	begun := time.Now()
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(clients)
	for i := range count {
		claim := &teapotv1.MachineClaim{}
		claim.Namespace, claim.Name = tenantsNamespace, fmt.Sprintf("claim-%d", i)
		claim.Spec.Image = teapotv1.Image{URL: imageURL + "bench", Checksum: noChecksum}
		claim.Spec.HostSelector.MatchLabels = map[string]teapotv1.LabelValue{hostLabel: "true"}
		claim.Spec.UserData = &teapotv1.SecretReference{Name: claimsData}
		claim.Spec.MetaData = &teapotv1.SecretReference{Name: claimsData}
		group.Go(func() error {
			if err := b.client.Create(each, claim); err != nil {
				return fmt.Errorf("creating MachineClaim %s: %w", claim.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	provisioned := sets.New[string]()
	for ctx.Err() == nil {
		// Without a resource version the watch begins with what exists.
		watch, err := b.client.Watch(ctx, &teapotv1.MachineClaimList{}, client.InNamespace(tenantsNamespace))
		if err != nil {
			return 0, fmt.Errorf("watching MachineClaims: %w", err)
		}
		for event := range watch.ResultChan() {
			claim, ok := event.Object.(*teapotv1.MachineClaim)
			if !ok {
				continue
			}
			if claim.Status.Phase != teapotv1.ClaimProvisioned || !meta.IsStatusConditionTrue(claim.Status.Conditions, teapotv1.ReadyCondition) {
				provisioned.Delete(claim.Name)
				continue
			}
			provisioned.Insert(claim.Name)
			if provisioned.Len() == count {
				watch.Stop()
				return time.Since(begun), nil
			}
		}
	}
	return 0, fmt.Errorf("waiting for %d claims to be Provisioned, %d are (kubectl get mc -n %s): %w", count, provisioned.Len(), tenantsNamespace, ctx.Err())
}

// still waits until the manager has written nothing for a while.
func (b *bench) still(ctx context.Context) error {
	return waitFor(ctx, atLeast, "the manager to be done with the claims", func(ctx context.Context) (bool, error) {
		select { // the log is long: it is not read more often
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(stillFor):
		}
		now := time.Now()
		wrote, err := b.written(window{from: now.Add(-stillFor), to: now, namespaces: benchNamespaces})
		return wrote.sum() == 0, err
	})
}
