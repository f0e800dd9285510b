package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	handwritten "github.com/teapot-cloud/teapot/test/machineroom/floor"
	"github.com/teapot-cloud/teapot/test/machineroom/machine"
)

// handName is the name of a machine with hand-written user data, by its number, less than six. It is
// not the room's: nobody but the bench switches it on.
func handName(number int) string { return fmt.Sprintf("bench-by-hand-%d", number) }

// handMachine is a machine with hand-written user data, which need not exist. Address and MAC are
// below those of the room's machines and of test/e2e.
func (b *bench) handMachine(number int) *machine.Machine {
	name := handName(number)
	return machine.New(machine.Config{
		Name: name, Dir: filepath.Join(b.room.Dir, "bench", name),
		MAC:     fmt.Sprintf("52:54:00:ff:00:%02d", 70+number),
		Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 30, 0, byte(70 + number)}), 24),
		Gateway: netip.MustParseAddr(nodenet.NodeIP), NetNS: b.netns, Images: filepath.Join(b.room.Dir, "images"),
	})
}

// joinByHand boots a machine with hand-written user data for each interval, so long after the first
// one, and returns the seconds from the first one's power to the last one's Node being Ready; then
// it erases them.
func (t *tenantWithMachines) joinByHand(ctx context.Context, intervals ...time.Duration) (float64, error) {
	join, err := handwritten.Prepare(ctx, t.config)
	if err != nil {
		return 0, err
	}
	hands := make([]*machine.Machine, len(intervals))
	for number := range hands {
		hand := t.handMachine(number)
		hands[number] = hand
		drive, err := join.Drive(handName(number), "teapot://"+handName(number))
		if err != nil {
			return 0, err
		}
		if err := os.MkdirAll(hand.Dir, 0o755); err != nil {
			return 0, fmt.Errorf("making machine %s: %w", handName(number), err)
		}
		if err := hand.Write(ctx, t.image, drive); err != nil {
			return 0, err
		}
	}
	if err := t.quiet(ctx); err != nil {
		return 0, err
	}
	begun := time.Now()
	group, each := errgroup.WithContext(ctx)
	for number, interval := range intervals {
		group.Go(func() error {
			select {
			case <-each.Done():
				return each.Err()
			case <-time.After(time.Until(begun.Add(interval))):
				return hands[number].PowerOn(each)
			}
		})
	}
	var at time.Time
	group.Go(func() (err error) {
		at, err = t.nodesReady(each, len(hands), joinedWithin)
		return err
	})
	if err := group.Wait(); err != nil {
		return 0, err
	}
	if err := t.removeHandMachines(ctx); err != nil {
		return 0, err
	}
	for number := range hands {
		if err := t.nodes.CoreV1().Nodes().Delete(ctx, handName(number), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return 0, fmt.Errorf("deleting Node %s: %w", handName(number), err)
		}
	}
	return at.Sub(begun).Seconds(), nil
}

// removeHandMachines cuts the power of all machines with hand-written user data and removes them.
func (b *bench) removeHandMachines(ctx context.Context) error {
	group, each := errgroup.WithContext(ctx)
	for number := range six {
		group.Go(func() error { return removeHandMachine(each, b.handMachine(number)) })
	}
	return group.Wait()
}

func removeHandMachine(ctx context.Context, hand *machine.Machine) error {
	if _, err := os.Stat(hand.Dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// On a busy computer the processes of a machine may outlive the patience of PowerOff.
	var last error
	if err := waitFor(ctx, goneWithin, "machine "+hand.Name+" to be gone", func(ctx context.Context) (bool, error) {
		if last = hand.PowerOff(ctx, true); last == nil {
			last = hand.Erase(ctx)
		}
		return last == nil, nil
	}); err != nil {
		return errors.Join(err, last)
	}
	return os.RemoveAll(hand.Dir)
}

// nodesReady waits until so many Nodes are Ready, and returns when that was. It watches: the
// condition's own time has whole seconds.
func (t *tenantWithMachines) nodesReady(ctx context.Context, count int, within time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ready := sets.New[string]()
	for ctx.Err() == nil {
		// Without a resource version the watch begins with what exists.
		watch, err := t.nodes.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{})
		if err != nil {
			return time.Time{}, fmt.Errorf("watching the Nodes of TenantControlPlane %s: %w", t.name, err)
		}
		for event := range watch.ResultChan() {
			node, ok := event.Object.(*corev1.Node)
			switch {
			case !ok:
				continue
			case isReady(node):
				ready.Insert(node.Name)
			default:
				ready.Delete(node.Name)
			}
			if ready.Len() == count {
				watch.Stop()
				return time.Now(), nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("waiting for %d machines of TenantControlPlane %s to be Nodes that are Ready, %d are (bin/machineroom list): %w", count, t.name, ready.Len(), ctx.Err())
}
