package machineclaim_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/teapot-cloud/teapot/controllers/machineclaim"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/workers/host"
)

// manage runs one manager after the other, each until it is killed.
func (r *race) manage(ctx context.Context, t *testing.T, number uint64) {
	for life := uint64(0); ctx.Err() == nil; life++ {
		random := &source{random: rand.New(rand.NewPCG(r.seed, 1+number<<32+life))}
		alive, kill := context.WithCancel(ctx)
		if err := r.manager(alive, kill, random); err != nil && alive.Err() == nil {
			t.Error(err)
		}
		kill()
	}
}

// manager is one manager, as cmd/teapot-manager would run it without leader election.
func (r *race) manager(ctx context.Context, kill func(), random *source) error {
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  claimtest.Scheme(),
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		// Every manager would ask the API server for its kinds.
		MapperProvider:          func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return direct.RESTMapper(), nil },
		GracefulShutdownTimeout: ptr.To(time.Duration(0)), // it is killed
		Controller:              ctrlconfig.Controller{SkipNameValidation: ptr.To(true)},
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{r.namespace: {}},
			ByObject:          map[client.Object]cache.ByObject{&host.Object{}: {Transform: host.Transform}},
		},
		NewClient: func(config *rest.Config, options client.Options) (client.Client, error) {
			real, err := client.NewWithWatch(config, options)
			if err != nil {
				return nil, err
			}
			return interceptor.NewClient(real, r.flaky(ctx, kill, random)), nil
		},
	})
	if err != nil {
		return err
	}
	reconciler := &machineclaim.Reconciler{
		Client: mgr.GetClient(), Live: r.reader(mgr.GetAPIReader(), random), Recorder: &events.FakeRecorder{}, Clock: clock.RealClock{},
	}
	if err := reconciler.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: 4}); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// flaky fails writes, loses their answers, takes its time between a manager's decision and the
// write, and kills the manager at one of them.
func (r *race) flaky(alive context.Context, kill func(), random *source) interceptor.Funcs {
	write := func(object client.Object, do func() error) error {
		if _, isHost := object.(*host.Object); isHost {
			time.Sleep(time.Duration(random.upTo(30)) * time.Millisecond) // others get to write meanwhile
		}
		if alive.Err() != nil {
			return alive.Err() // killed: nothing is written any more
		}
		if random.upTo(50) == 0 {
			defer kill()
		}
		switch random.upTo(20) {
		case 0:
			return apierrors.NewInternalError(errors.New("the write is not done"))
		case 1:
			return errors.Join(do(), apierrors.NewInternalError(errors.New("the answer is lost")))
		default:
			return do()
		}
	}
	return interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			if _, isHost := object.(*host.Object); isHost && r.unlocked {
				data, err := patch.Data(object)
				if err != nil {
					return err
				}
				patch = client.RawPatch(types.MergePatchType, withoutLock(data))
			}
			return write(object, func() error { return c.Patch(ctx, object, patch, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			return write(object, func() error { return c.Delete(ctx, object, options...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			return write(nil, func() error { return c.Apply(ctx, object, options...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			return write(nil, func() error { return c.SubResource(sub).Patch(ctx, object, patch, options...) })
		},
	}
}

// reader is what a manager reads live with.
func (r *race) reader(live client.Reader, random *source) client.Reader {
	return lister{Reader: live, around: func(list client.ObjectList, read func() error) error {
		if err := read(); err != nil || !isClaims(list) {
			return err
		}
		time.Sleep(time.Duration(random.upTo(30)) * time.Millisecond) // what was listed gets old
		if r.blind {
			return meta.SetList(list, nil)
		}
		return nil
	}}
}

// lister does something around each list.
type lister struct {
	client.Reader
	around func(list client.ObjectList, read func() error) error
}

func (l lister) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return l.around(list, func() error { return l.Reader.List(ctx, list, options...) })
}

// withoutLock takes the resource version out of a patch.
func withoutLock(data []byte) []byte {
	fields := map[string]any{}
	if err := json.Unmarshal(data, &fields); err != nil {
		panic(err)
	}
	unstructured.RemoveNestedField(fields, "metadata", "resourceVersion")
	data, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return data
}

// source is a source of chance that several reconciles share.
type source struct {
	mu     sync.Mutex
	random *rand.Rand
}

func (s *source) upTo(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}
