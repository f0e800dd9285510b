package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/test/floor"
)

// prepared is a floor whose clock has not started.
type prepared struct {
	*floor.Floor
	namespace string
	question  question
}

// prepare makes all of a number of floors that is not on the clock.
func (b *bench) prepare(ctx context.Context, count int) ([]*prepared, error) {
	var made []*prepared
	for range count {
		b.floors++
		p := &prepared{namespace: fmt.Sprintf("teapot-bench-floor-%d", b.floors)}
		var err error
		p.Floor, err = floor.Prepare(ctx, b.client, floor.Options{
			Namespace: p.namespace, Labels: map[string]string{label: "floor"},
			Version: b.version, NodeAddress: b.node,
		})
		if err != nil {
			return nil, err
		}
		if p.question, err = readyz(p.Address, p.CA); err != nil {
			return nil, err
		}
		made = append(made, p)
	}
	return made, nil
}

// run starts the pod and returns how long it was until its API server was ready.
func (p *prepared) run(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	if err := p.Start(ctx); err != nil {
		return 0, err
	}
	at, err := p.question.answered(ctx)
	return at.Sub(begun), err
}

// stop ends a floor's pod as kubectl does and returns when it is gone. Its volume stays.
func (b *bench) stop(ctx context.Context, p *prepared) (*corev1.Pod, error) {
	pods, err := b.podsOfFloor(ctx, p)
	if err != nil {
		return nil, err
	}
	if len(pods) != 1 {
		return nil, fmt.Errorf("floor %s has %d pods, not one", p.namespace, len(pods))
	}
	pod := &pods[0]
	if err := b.client.Delete(ctx, pod); err != nil {
		return nil, fmt.Errorf("deleting the floor's pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	err = waitFor(ctx, goneWithin, "the pod of floor "+p.namespace+" to be gone", func(ctx context.Context) (bool, error) {
		left, err := b.podsOfFloor(ctx, p)
		return len(left) == 0, err
	})
	return pod, err
}

// startAgain starts a pod that was stopped, on the volume that it had, and returns when its API server
// was ready.
func (b *bench) startAgain(ctx context.Context, p *prepared, stopped *corev1.Pod) (time.Time, error) {
	pod := &corev1.Pod{Spec: *stopped.Spec.DeepCopy()}
	pod.Namespace, pod.Name, pod.Labels = stopped.Namespace, stopped.Name, stopped.Labels
	pod.Spec.NodeName = "" // the scheduler's work is on the clock, as it is for a TenantControlPlane
	if err := b.client.Create(ctx, pod); err != nil {
		return time.Time{}, fmt.Errorf("creating the floor's pod %s/%s again: %w", pod.Namespace, pod.Name, err)
	}
	return p.question.answered(ctx)
}

// config is of a client that may do everything.
func (p *prepared) config() *rest.Config {
	return &rest.Config{Host: "https://" + p.Address, TLSClientConfig: rest.TLSClientConfig{
		CAData: p.CA, CertData: p.Client.Cert, KeyData: p.Client.Key,
	}}
}

// podsOfFloor are the pods of a floor: one.
func (b *bench) podsOfFloor(ctx context.Context, p *prepared) ([]corev1.Pod, error) {
	pods := &corev1.PodList{}
	if err := b.client.List(ctx, pods, client.InNamespace(p.namespace)); err != nil {
		return nil, fmt.Errorf("listing the pods of namespace %s: %w", p.namespace, err)
	}
	return pods.Items, nil
}

func namespaces(floors []*prepared) []string {
	names := make([]string, len(floors))
	for i, p := range floors {
		names[i] = p.namespace
	}
	return names
}
