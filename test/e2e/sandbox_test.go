package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// TestASandboxedControlPlane runs a control plane inside gVisor. Each step stands on the
// one before, so the first that fails ends the test.
func TestASandboxedControlPlane(t *testing.T) {
	before, err := snapshot(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	sandboxesBefore := sandboxes(t.Context(), t)
	namespace := tenantNamespace(t)
	tcp := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Name: "sandboxed", Namespace: namespace}}
	tcp.Spec.Version = node.KubernetesVersion
	tcp.Spec.RuntimeClassName = ptr.To("gvisor")
	if err := management.Create(t.Context(), tcp); err != nil {
		t.Fatal(err)
	}
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)

	for _, step := range []struct {
		name string
		run  func(*testing.T, *teapotv1.TenantControlPlane)
	}{
		{"all of it runs inside the sandbox", allIsSandboxed},
		{"a user's request is answered", userIsAnswered},
		{"objects survive the death of all pods", objectsSurvive},
		{"what takes the pods' place is sandboxed too", func(t *testing.T, tcp *teapotv1.TenantControlPlane) {
			allIsSandboxed(t, tcp)
			_, user := asUser(t, tcp.Namespace, tcp.Name)
			if _, err := user.CoreV1().ConfigMaps("default").Get(t.Context(), "survivor", metav1.GetOptions{}); err != nil {
				t.Error("the new pods have lost an object:", err)
			}
		}},
		// The API server reaches konnectivity by a socket of the sandbox.
		{"a machine's pods and webhooks are reached", machineJoins},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, tcp) }) {
			t.FailNow()
		}
	}

	teapot(t, "delete", tcp.Name, "--namespace", namespace, "--yes", "--timeout", "1m")
	if err := management.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "nothing to be left", func(ctx context.Context) error {
		if left := len(sandboxes(ctx, t)) - len(sandboxesBefore); left > 0 {
			return fmt.Errorf("%d containers of gVisor are left", left)
		}
		return nothingLeft(ctx, t, before)
	})
}

// allIsSandboxed asks gVisor's own kernel for the processes of each container, and makes
// sure that the computer's kernel does not know them.
func allIsSandboxed(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	for _, component := range []string{controlplane.ControlPlaneName, controlplane.EtcdName} {
		eventually(t, readyWithin, "every container of "+component+" to run in gVisor alone", func(ctx context.Context) error {
			list := &corev1.PodList{}
			if err := management.List(ctx, list, client.InNamespace(tcp.Status.Namespace),
				client.MatchingLabels{teapotv1.ComponentLabel: component}); err != nil {
				return err
			}
			if len(list.Items) != 1 {
				return fmt.Errorf("there are %d pods", len(list.Items))
			}
			return podIsSandboxed(ctx, t, list.Items[0])
		})
	}
}

func podIsSandboxed(ctx context.Context, t *testing.T, pod corev1.Pod) error {
	known := sandboxes(ctx, t)
	onHost, err := commandsOf(pod)
	if err != nil {
		return err
	}
	containers := slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
	statuses := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	if len(statuses) != len(containers) {
		return fmt.Errorf("pod %s has %d containers, and the status of %d", pod.Name, len(containers), len(statuses))
	}
	for i, container := range containers {
		id := strings.TrimPrefix(statuses[i].ContainerID, "containerd://")
		if id == "" || !slices.Contains(known, id) {
			return fmt.Errorf("container %s (%q) is none of gVisor's: %v", container.Name, id, known)
		}
		// gVisor, like Linux, keeps 15 bytes of a command's name.
		command := path.Base(container.Command[0])
		command = command[:min(len(command), 15)]
		processes, err := runsc(ctx, t, "ps", "--format=table", id)
		if err != nil {
			return err
		}
		if !strings.Contains(processes, " "+command+"\n") {
			return fmt.Errorf("gVisor does not run %s in container %s: %s", command, container.Name, processes)
		}
		if slices.Contains(onHost, command) {
			return fmt.Errorf("%s of container %s is a process of the computer's own kernel", command, container.Name)
		}
	}
	return nil
}

// commandsOf names what the computer's own kernel runs in a pod's cgroups. A pod that runs has a
// sandbox's processes at least; without any, nothing is known of it yet.
func commandsOf(pod corev1.Pod) ([]string, error) {
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	var commands []string
	for _, group := range groups {
		membership, err := os.ReadFile(group)
		if err != nil || !strings.Contains(string(membership), string(pod.UID)) {
			continue // it has ended, or is no process of the pod
		}
		if command, err := os.ReadFile(filepath.Join(filepath.Dir(group), "comm")); err == nil {
			commands = append(commands, strings.TrimSpace(string(command)))
		}
	}
	if len(commands) == 0 {
		return nil, fmt.Errorf("pod %s has no processes, not even a sandbox's", pod.Name)
	}
	return commands, nil
}

// sandboxes are the IDs of gVisor's containers.
func sandboxes(ctx context.Context, t *testing.T) []string {
	t.Helper()
	list, err := runsc(ctx, t, "list", "--quiet")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(list)
}

// runsc runs gVisor's command line on what the development cluster's containerd started.
func runsc(ctx context.Context, t *testing.T, args ...string) (string, error) {
	t.Helper()
	directory := filepath.Join(string(state.FromEnvironment()), "runsc", "k8s.io")
	out, err := exec.CommandContext(ctx, binary(t, "runsc"), append([]string{"--root=" + directory}, args...)...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("runsc %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}
