//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/devcluster/providers"
)

// A cluster without what manages machines is whole; one with a part of it is not.
func TestProviderRows(t *testing.T) {
	var all []runtime.Object
	for _, p := range providers.All(nodenet.NodeIP) {
		all = append(all, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Deployment, Generation: 1},
			Status:     appsv1.DeploymentStatus{ObservedGeneration: 1, UpdatedReplicas: 1, AvailableReplicas: 1},
		})
	}
	ended := all[0].DeepCopyObject().(*appsv1.Deployment)
	ended.Status.AvailableReplicas = 0
	old := all[0].DeepCopyObject().(*appsv1.Deployment)
	old.Status.UpdatedReplicas = 0
	for _, tc := range []struct {
		name    string
		objects []runtime.Object
		rows    int
		want    string
	}{
		{"never added", nil, 0, ""},
		{"all run", all, 3, ""},
		{"one is gone", all[1:], 3, "cluster-api is absent"},
		{"one has no pod", append([]runtime.Object{ended}, all[1:]...), 3, "cluster-api is not available"},
		{"one runs what was applied before", append([]runtime.Object{old}, all[1:]...), 3, "cluster-api is not available"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			err := providerRows(t.Context(), fake.NewClientset(tc.objects...), &out)
			if rows := strings.Count(out.String(), "\n"); rows != tc.rows {
				t.Errorf("%d rows, want %d:\n%s", rows, tc.rows, &out)
			}
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("error %q, want %q", got, tc.want)
			}
		})
	}
}

// What was waited for is reported, not that the waiting was cut short.
func TestPollReportsWhatIsMissing(t *testing.T) {
	calls := 0
	err := poll(t.Context(), 100*time.Millisecond, nil, func(ctx context.Context) error {
		if calls++; calls == 1 {
			return errors.New("no pod")
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if err == nil || !strings.Contains(err.Error(), "no pod") {
		t.Errorf("error %v, want what was missing", err)
	}
}
