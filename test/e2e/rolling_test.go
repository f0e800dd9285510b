package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// TestRollingChangesLoseNothing changes a control plane in every way that rolls its pods while
// users read, write and watch by their kubeconfig. No request may fail, no write may be lost and
// Ready may not be withdrawn.
func TestRollingChangesLoseNothing(t *testing.T) {
	newest := version.MustParseSemantic(node.KubernetesVersion)
	older := "v" + newest.WithPatch(newest.Patch()-1).String()
	tagImages(t, node.KubernetesVersion, older)
	namespace := tenantNamespace(t)
	tcp := newControlPlane(t, namespace, "rolling", func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.Version = older
		tcp.Spec.Addons.Konnectivity.Enabled = nil // its server is in the pods that roll
	})
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	rolledOut(t, tcp)
	users := newTraffic(t, namespace, tcp.Name)
	replicas := watchReplicas(t, tcp)
	watchStatus(t, tcp)

	for _, step := range []struct {
		name string
		// serving is the number of ready replicas below which the step must not go.
		serving int32
		change  func(*teapotv1.TenantControlPlane)
		check   func(*testing.T, *teapotv1.TenantControlPlane)
	}{
		{"an argument and resources of the API server", 1, func(tcp *teapotv1.TenantControlPlane) {
			tcp.Spec.Components.APIServer.ExtraArgs = []teapotv1.ExtraArg{{Name: "max-requests-inflight", Value: "200"}}
			tcp.Spec.Components.APIServer.Resources.Requests.CPU = ptr.To(resource.MustParse("50m"))
		}, apiServerIsChanged},
		{"from one replica to three", 1, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Replicas = ptr.To[int32](3) }, replicasAreGuarded},
		{"a patch version", 3, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Version = node.KubernetesVersion }, versionIsNew},
		{"from three replicas to one", 1, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Replicas = ptr.To[int32](1) }, replicaIsNotGuarded},
	} {
		t.Run(step.name, func(t *testing.T) {
			replicas.floor.Store(step.serving)
			edit(t, tcp, step.change)
			rolledOut(t, tcp)
			step.check(t, tcp)
			users.mustBeFlawless(t)
		})
	}
	users.nothingLost(t)
}

// rolledOut waits until nothing is left of what was before.
func rolledOut(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	eventually(t, 2*readyWithin, "the roll to end", func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(tcp), tcp); err != nil {
			return err
		}
		s, want := tcp.Status, *tcp.Spec.Replicas
		if s.ObservedGeneration != tcp.Generation || s.Version != tcp.Spec.Version || s.Replicas != want ||
			s.UpToDateReplicas != want || s.AvailableReplicas != want || s.ReadyReplicas != want {
			return fmt.Errorf("generation %d, status %+v", tcp.Generation, s)
		}
		if len(s.Versions) != 1 || s.Versions[0].Version != tcp.Spec.Version || s.Versions[0].Replicas != want {
			return fmt.Errorf("status.versions is %+v", s.Versions)
		}
		left := pods(t, tcp, controlplane.ControlPlaneName)
		if len(left) != int(want) {
			return fmt.Errorf("there are %d pods", len(left))
		}
		for _, pod := range left {
			if pod.DeletionTimestamp != nil || !isReady(pod) {
				return fmt.Errorf("pod %s: deleted at %v, status %+v", pod.Name, pod.DeletionTimestamp, pod.Status)
			}
		}
		return nil
	})
}

func apiServerIsChanged(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	for _, pod := range pods(t, tcp, controlplane.ControlPlaneName) {
		server := apiServerOf(pod)
		if !slices.Contains(server.Command, "--max-requests-inflight=200") || server.Resources.Requests.Cpu().String() != "50m" {
			t.Errorf("the API server of %s runs as %v with %v", pod.Name, server.Command, server.Resources)
		}
	}
}

func versionIsNew(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	for _, pod := range pods(t, tcp, controlplane.ControlPlaneName) {
		if image := apiServerOf(pod).Image; !strings.HasSuffix(image, ":"+tcp.Spec.Version) {
			t.Errorf("the API server of %s is of image %s", pod.Name, image)
		}
	}
}

func apiServerOf(pod corev1.Pod) corev1.Container {
	for _, container := range pod.Spec.InitContainers {
		if container.Name == controlplane.ContainerAPIServer {
			return container
		}
	}
	return corev1.Container{}
}

// replicasAreGuarded looks for the budget and asks for an eviction more than it allows, and
// whether the pods ask to be spread over the nodes.
func replicasAreGuarded(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	all := pods(t, tcp, controlplane.ControlPlaneName)
	eventually(t, 30*time.Second, "the budget to allow one disruption", func(ctx context.Context) error {
		budget := &policyv1.PodDisruptionBudget{}
		if err := management.Get(ctx, client.ObjectKey{Namespace: tcp.Status.Namespace, Name: controlplane.ControlPlaneName}, budget); err != nil {
			return err
		}
		if budget.Status.ExpectedPods != int32(len(all)) || budget.Status.DisruptionsAllowed != 1 {
			return fmt.Errorf("status is %+v", budget.Status)
		}
		return nil
	})
	for _, pod := range all {
		spread := pod.Spec.TopologySpreadConstraints
		if len(spread) != 1 || spread[0].TopologyKey != corev1.LabelHostname || spread[0].WhenUnsatisfiable != corev1.ScheduleAnyway {
			t.Errorf("pod %s is to be spread by %+v", pod.Name, spread)
			continue
		}
		for _, other := range all {
			if selector, err := metav1.LabelSelectorAsSelector(spread[0].LabelSelector); err != nil || !selector.Matches(labels.Set(other.Labels)) {
				t.Errorf("pod %s is not to be spread away from %s: %v, %v", pod.Name, other.Name, selector, err)
			}
		}
	}
}

func replicaIsNotGuarded(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	budget := &policyv1.PodDisruptionBudget{}
	err := management.Get(t.Context(), client.ObjectKey{Namespace: tcp.Status.Namespace, Name: controlplane.ControlPlaneName}, budget)
	if !apierrors.IsNotFound(err) {
		t.Errorf("a single replica, whose node could not be drained, has a budget: %v, %+v", err, budget.Spec)
	}
}

// replicaWatch makes sure of surge first: a replica is told to leave only while enough others
// are ready.
type replicaWatch struct{ floor atomic.Int32 }

func watchReplicas(t *testing.T, tcp *teapotv1.TenantControlPlane) *replicaWatch {
	t.Helper()
	r := &replicaWatch{}
	r.floor.Store(1)
	known := map[string]corev1.Pod{}
	observe(t, &corev1.PodList{}, func(_ context.Context, event watch.Event) error {
		pod := event.Object.(*corev1.Pod)
		before, seen := known[pod.Name]
		known[pod.Name] = *pod
		if event.Type == watch.Deleted {
			delete(known, pod.Name)
			return nil
		}
		if pod.DeletionTimestamp == nil || seen && before.DeletionTimestamp != nil {
			return nil
		}
		var ready int32
		for _, other := range known {
			if other.DeletionTimestamp == nil && isReady(other) {
				ready++
			}
		}
		if floor := r.floor.Load(); ready < floor {
			return fmt.Errorf("%s was told to leave while %d others were ready, fewer than %d", pod.Name, ready, floor)
		}
		return nil
	}, client.InNamespace(tcp.Status.Namespace), client.MatchingLabels{teapotv1.ComponentLabel: controlplane.ControlPlaneName})
	return r
}

func isReady(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// watchStatus makes sure that the status tells the truth at any moment: Ready holds, the
// versions add up to the replicas, and no more replicas are said to be of a version than are.
func watchStatus(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	tcp = tcp.DeepCopy()
	mixed := false
	observe(t, &teapotv1.TenantControlPlaneList{}, func(ctx context.Context, event watch.Event) error {
		now := event.Object.(*teapotv1.TenantControlPlane)
		var errs []error
		if !meta.IsStatusConditionTrue(now.Status.Conditions, teapotv1.ReadyCondition) {
			errs = append(errs, fmt.Errorf("Ready was withdrawn: %+v", now.Status.Conditions))
		}
		var sum int32
		for _, version := range now.Status.Versions {
			sum += version.Replicas
			if version.Version == node.KubernetesVersion {
				errs = append(errs, atLeast(ctx, tcp, node.KubernetesVersion, version.Replicas))
			}
		}
		if sum != now.Status.Replicas {
			errs = append(errs, fmt.Errorf("versions %+v do not add up to %d replicas", now.Status.Versions, now.Status.Replicas))
		}
		if now.Status.UpToDateReplicas < now.Status.Replicas && now.Status.Version == node.KubernetesVersion && len(now.Status.Versions) > 1 {
			errs = append(errs, fmt.Errorf("version is %s while versions are %+v", now.Status.Version, now.Status.Versions))
		}
		mixed = mixed || len(now.Status.Versions) == 2
		return errors.Join(errs...)
	}, client.InNamespace(tcp.Namespace))
	t.Cleanup(func() {
		if !mixed {
			t.Error("status.versions never told of two versions at once")
		}
	})
}

// atLeast makes sure that so many pods of a version exist. It is asked after the status was
// read, and while that version is rolled out its pods only become more.
func atLeast(ctx context.Context, tcp *teapotv1.TenantControlPlane, version string, want int32) error {
	list := &corev1.PodList{}
	if err := management.List(ctx, list, client.InNamespace(tcp.Status.Namespace),
		client.MatchingLabels{teapotv1.ComponentLabel: controlplane.ControlPlaneName}); err != nil {
		return err
	}
	var have int32
	for _, pod := range list.Items {
		if strings.HasSuffix(apiServerOf(pod).Image, ":"+version) {
			have++
		}
	}
	if have < want {
		return fmt.Errorf("%d replicas are said to be of %s, and %d are", want, version, have)
	}
	return nil
}

// observe calls a check with every change of some objects until the test ends, and fails the
// test for what it returns.
func observe(t *testing.T, list client.ObjectList, check func(context.Context, watch.Event) error, options ...client.ListOption) {
	t.Helper()
	watching, err := client.NewWithWatch(config, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	watcher, err := watching.Watch(ctx, list, options...)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for event := range watcher.ResultChan() {
			if event.Type == watch.Error {
				break
			}
			if err := check(ctx, event); err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", time.Now().Format("15:04:05.000"), err)
			}
		}
		if ctx.Err() == nil {
			t.Errorf("watching %T ended early", list)
		}
	})
	t.Cleanup(func() { cancel(); watcher.Stop(); reading.Wait() })
}

// tagImages gives the development cluster's images of one version another's tag, since it has a
// build of one patch version of a minor alone: the roll from one to the other is real, and what
// runs is the same before and after it.
func tagImages(t *testing.T, from, to string) {
	t.Helper()
	program := binary(t, "ctr")
	ctr := func(args ...string) error {
		args = append([]string{"--address", state.FromEnvironment().ContainerdSocket(), "--namespace", "k8s.io", "images"}, args...)
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	old, err := controlplane.ImagesFor("", from)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{old.APIServer, old.ControllerManager, old.Scheduler} {
		name, _, _ := strings.Cut(image, ":")
		if err := ctr("tag", "--force", image, name+":"+to); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := ctr("rm", name+":"+to); err != nil {
				t.Error(err)
			}
		})
	}
}
