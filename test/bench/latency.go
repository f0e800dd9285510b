package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

// requestsEach is how many requests each control plane is sent: enough for a 99th percentile,
// and for the garbage collectors to run many times.
const requestsEach = 1200

// measureLatency takes the time of single requests, one after the other: half of them writes,
// the rest reads of one object and of lists with some weight. Tenants and floors take turns.
func (b *bench) measureLatency(ctx context.Context, tenants []*teapotv1.TenantControlPlane, floors []*prepared) ([]Result, error) {
	var medians, tails [2][]float64 // floors, tenants
	for i := range tenants {
		ours, err := b.byAddress(ctx, tenants[i].Name)
		if err != nil {
			return nil, err
		}
		for side, config := range []*rest.Config{floors[i].config(), ours} {
			took, err := requestTimes(ctx, config)
			if err != nil {
				return nil, err
			}
			slices.Sort(took)
			medians[side] = append(medians[side], took[len(took)/2])
			tails[side] = append(tails[side], took[len(took)*99/100])
		}
		progress("requests %d/%d: floor p50 %.2f ms, p99 %.2f ms; TenantControlPlane p50 %.2f ms, p99 %.2f ms",
			i+1, len(tenants), medians[0][i], tails[0][i], medians[1][i], tails[1][i])
	}
	return []Result{
		newResult(requestMedian, "ms", medians[1], medians[0]),
		newResult(requestTail, "ms", tails[1], tails[0]),
	}, nil
}

// requestTimes returns what each of a series of requests took, in milliseconds.
func requestTimes(ctx context.Context, config *rest.Config) ([]float64, error) {
	config.QPS, config.Dial = -1, netdial.DialContext
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	configMaps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	weight := map[string]string{"weight": string(slices.Repeat([]byte("x"), 4<<10))}
	var took []float64
	for i := range requestsEach / 4 {
		name := fmt.Sprintf("bench-%d", i)
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: weight}
		for _, request := range []func() error{
			func() error { _, err := configMaps.Create(ctx, object, metav1.CreateOptions{}); return err },
			func() error { _, err := configMaps.Get(ctx, name, metav1.GetOptions{}); return err },
			func() error { _, err := configMaps.List(ctx, metav1.ListOptions{Limit: 50}); return err },
			func() error { _, err := configMaps.Update(ctx, object, metav1.UpdateOptions{}); return err },
		} {
			began := time.Now()
			if err := request(); err != nil {
				return nil, fmt.Errorf("measuring requests to %s: %w", config.Host, err)
			}
			took = append(took, float64(time.Since(began).Microseconds())/1000)
		}
	}
	return took, nil
}
