package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// hibernationMachines are the hosts of the hibernation's tests: one for the tenant that sleeps, which
// another one takes meanwhile, and one to come back to.
var hibernationMachines = []string{"machine-18", "machine-19"}

const (
	// asleepWithin is how long going to sleep may take on a busy computer. Its own deadlines
	// (controllers/tenantcontrolplane/sleep.go) end after four minutes.
	asleepWithin = 4 * time.Minute
	// awakeWithin is how long the API may take to answer again; what it takes is measured by test/bench.
	awakeWithin = 2 * time.Minute
)

// testHibernation puts a tenant with a machine to sleep and wakes it, twice: once its machine is given
// back, and somebody else's meanwhile; once it is switched off.
func testHibernation(t *testing.T) {
	f := newFleet(t, hibernationMachines...)
	x := f.tenantOf(t, "sleeper", "workerpool.yaml", 1, f.names...)
	other := f.tenantOf(t, "guest", "workerpool.yaml", 0, f.names[0], f.names[1])
	f.allow(t, x.namespace, other.namespace)
	before := x.machines(t, 1)
	left := leaveThings(t, x)

	if !t.Run("it sleeps, and holds no host", func(t *testing.T) {
		x.hibernate(t, teapotv1.HibernatedWorkersRelease)
		x.isAsleep(t)
		x.untilNoMachines(t)
		other.scalePool(t, 2) // both hosts: also the one that was the sleeper's
		other.machines(t, 2)
		other.scalePool(t, 0)
	}) {
		return
	}
	t.Run("kubectl wakes it", func(t *testing.T) {
		x.wakesOnRequest(t, left)
		after := x.machines(t, 1)
		if after[0].machine.UID == before[0].machine.UID {
			t.Errorf("Machine %s was not given back", after[0].machine.Name)
		}
		readyNode(t, x.user, after[0].machine.Status.NodeRef.Name)
		left.goOn(t)
		before = after
	})
	t.Run("its machine is switched off and on again", func(t *testing.T) {
		x.scalePool(t, 2) // one that has not joined when it goes to sleep
		eventually(t, time.Minute, "a second machine to begin", func(ctx context.Context) error {
			claims := &teapotv1.MachineClaimList{}
			err := management.List(ctx, claims, client.InNamespace(x.namespace))
			if err == nil && len(claims.Items) < 2 {
				err = fmt.Errorf("there are %d claims", len(claims.Items))
			}
			return err
		})
		x.hibernate(t, teapotv1.HibernatedWorkersPowerOff)
		x.isAsleep(t)
		if m := f.machine(t, before[0].on); m.Power {
			t.Errorf("%s has power while its tenant sleeps", before[0].on)
		}
		x.wakesOnRequest(t, left)
		after := x.machines(t, 2)
		if !uidsOf(after).Has(before[0].machine.UID) {
			t.Errorf("Machine %s is gone, which was switched off only", before[0].machine.Name)
		}
		readyNode(t, x.user, after[0].machine.Status.NodeRef.Name)
		left.goOn(t)
	})
}

// hibernate puts the tenant to sleep.
func (x *machinesTenant) hibernate(t *testing.T, workers teapotv1.HibernatedWorkers) {
	t.Helper()
	tcp := get(t, x.namespace, x.name)
	edit(t, tcp, func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.Hibernation = &teapotv1.HibernationSpec{
			IdleAfter: &metav1.Duration{Duration: time.Hour}, Workers: workers,
		}
	})
	disconnect(x.user)
	teapot(t, "hibernate", x.name, "--namespace", x.namespace, "--wait", "--timeout", asleepWithin.String())
}

// disconnect ends a client's connections: who is connected when a control plane goes to sleep does not
// wake it for two minutes.
func disconnect(c *kubernetes.Clientset) {
	utilnet.CloseIdleConnectionsFor(c.CoreV1().RESTClient().(*rest.RESTClient).Client.Transport)
}

// isAsleep compares what people see of a control plane that sleeps with what there is.
func (x *machinesTenant) isAsleep(t *testing.T) {
	t.Helper()
	tcp := get(t, x.namespace, x.name)
	if !meta.IsStatusConditionTrue(tcp.Status.Conditions, teapotv1.HibernatedCondition) || tcp.Status.Hibernation.Phase != teapotv1.HibernationAsleep {
		t.Errorf("it does not say that it sleeps: %+v, %+v", tcp.Status.Hibernation, tcp.Status.Conditions)
	}
	list := &corev1.PodList{}
	if err := management.List(t.Context(), list, client.InNamespace(tcp.Status.Namespace)); err != nil || len(list.Items) > 0 {
		t.Errorf("%d pods are left, error %v", len(list.Items), err)
	}
	if out := teapot(t, "get", "tcp", "--namespace", x.namespace); !strings.Contains(out, "Asleep") {
		t.Errorf("teapot get says:\n%s", out)
	}
}

// wakesOnRequest asks the sleeping API something, as a person would who does not know that it sleeps.
func (x *machinesTenant) wakesOnRequest(t *testing.T, left *leftThings) {
	t.Helper()
	began := time.Now()
	out, err := x.kubectl(t.Context(), "get", "configmap", left.name, "-o", "jsonpath={.data.written}", "--request-timeout="+awakeWithin.String())
	if err != nil {
		t.Fatalf("after %s: %v", time.Since(began), err)
	}
	t.Logf("kubectl had its answer after %.1f s", time.Since(began).Seconds())
	if out != left.written {
		t.Errorf("what was written before sleep is %q after it, want %q", out, left.written)
	}
	eventually(t, awakeWithin, "the control plane to say that it is awake", func(ctx context.Context) error {
		tcp := &teapotv1.TenantControlPlane{}
		if err := management.Get(ctx, client.ObjectKey{Namespace: x.namespace, Name: x.name}, tcp); err != nil {
			return err
		}
		if tcp.Status.Hibernation.Phase != teapotv1.HibernationAwake || !meta.IsStatusConditionTrue(tcp.Status.Conditions, teapotv1.ReadyCondition) {
			return fmt.Errorf("%+v, %+v", tcp.Status.Hibernation, tcp.Status.Conditions)
		}
		return nil
	})
}

// leftThings are what a tenant leaves in its cluster before it sleeps.
type leftThings struct {
	x             *machinesTenant
	name, written string
	token         string
}

// leaveThings writes an object, takes a token and starts a CronJob.
func leaveThings(t *testing.T, x *machinesTenant) *leftThings {
	t.Helper()
	left := &leftThings{x: x, name: "left", written: time.Now().Format(time.RFC3339Nano)}
	ctx := t.Context()
	if _, err := x.user.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: left.name}, Data: map[string]string{"written": left.written},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "a service account token", func(ctx context.Context) error {
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](3600)}}
		request, err := x.user.CoreV1().ServiceAccounts(metav1.NamespaceDefault).CreateToken(ctx, "default", request, metav1.CreateOptions{})
		if err == nil {
			left.token = request.Status.Token
		}
		return err
	})
	pod := corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "none", Image: "registry.k8s.io/pause:none"}}}
	if _, err := x.user.BatchV1().CronJobs(metav1.NamespaceDefault).Create(ctx, &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: left.name},
		Spec: batchv1.CronJobSpec{
			Schedule: "* * * * *", ConcurrencyPolicy: batchv1.ReplaceConcurrent,
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: pod}}},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return left
}

// goOn makes sure that what was left works after the sleep.
func (left *leftThings) goOn(t *testing.T) {
	t.Helper()
	config := rest.AnonymousClientConfig(left.x.config)
	config.BearerToken = left.token
	config.Dial = left.x.config.Dial
	bearer := kubernetes.NewForConfigOrDie(config)
	defer disconnect(bearer)
	if _, err := bearer.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{}); err != nil {
		t.Errorf("the token of before the sleep: %v", err)
	}
	now := metav1.Now()
	eventually(t, 3*time.Minute, "the CronJob to go on", func(ctx context.Context) error {
		cron, err := left.x.user.BatchV1().CronJobs(metav1.NamespaceDefault).Get(ctx, left.name, metav1.GetOptions{})
		if err == nil && (cron.Status.LastScheduleTime == nil || !cron.Status.LastScheduleTime.After(now.Time)) {
			err = fmt.Errorf("its last run was at %v", cron.Status.LastScheduleTime)
		}
		return err
	})
}
