package metrics

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

var expires = time.Unix(1_800_000_000, 0)

func controlPlane(name string, status metav1.ConditionStatus, reason string) *teapotv1.TenantControlPlane {
	tcp := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: name}}
	if status != "" {
		tcp.Status.Conditions = []metav1.Condition{{Type: teapotv1.ReadyCondition, Status: status, Reason: reason}}
		tcp.Status.CertificatesExpire = &metav1.Time{Time: expires}
	}
	return tcp
}

func newClient(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := teapotv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(funcs).WithObjects(objects...).Build()
}

func TestWhatIsSaidOfControlPlanes(t *testing.T) {
	gone := controlPlane("gone", metav1.ConditionTrue, teapotv1.ReasonReady)
	asleep := controlPlane("asleep", metav1.ConditionFalse, teapotv1.ReasonAsleep)
	asleep.Status.Hibernation = &teapotv1.HibernationStatus{Phase: teapotv1.HibernationAsleep}
	waking := controlPlane("waking", metav1.ConditionFalse, teapotv1.ReasonWaitingForPods)
	waking.Status.Hibernation = &teapotv1.HibernationStatus{Phase: teapotv1.HibernationWaking}
	c := newClient(t, interceptor.Funcs{},
		controlPlane("good", metav1.ConditionTrue, teapotv1.ReasonReady),
		controlPlane("starting", metav1.ConditionFalse, teapotv1.ReasonWaitingForPods),
		controlPlane("starting-too", metav1.ConditionFalse, teapotv1.ReasonWaitingForPods),
		controlPlane("strange", metav1.ConditionFalse, "WrittenBySomebodyElse"),
		controlPlane("new", "", ""),
		asleep, waking, gone,
	)
	if err := c.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	const want = `
# HELP teapot_controlplane_asleep Whether the TenantControlPlane sleeps (1) or not (0). One that sleeps is not Ready, and should not be.
# TYPE teapot_controlplane_asleep gauge
teapot_controlplane_asleep{name="asleep",namespace="acme"} 1
teapot_controlplane_asleep{name="good",namespace="acme"} 0
teapot_controlplane_asleep{name="new",namespace="acme"} 0
teapot_controlplane_asleep{name="starting",namespace="acme"} 0
teapot_controlplane_asleep{name="starting-too",namespace="acme"} 0
teapot_controlplane_asleep{name="strange",namespace="acme"} 0
teapot_controlplane_asleep{name="waking",namespace="acme"} 0
# HELP teapot_controlplane_certificate_expiry_timestamp_seconds When the first of the TenantControlPlane's certificates ends if none is renewed, in seconds since 1970.
# TYPE teapot_controlplane_certificate_expiry_timestamp_seconds gauge
teapot_controlplane_certificate_expiry_timestamp_seconds{name="asleep",namespace="acme"} 1.8e+09
teapot_controlplane_certificate_expiry_timestamp_seconds{name="good",namespace="acme"} 1.8e+09
teapot_controlplane_certificate_expiry_timestamp_seconds{name="starting",namespace="acme"} 1.8e+09
teapot_controlplane_certificate_expiry_timestamp_seconds{name="starting-too",namespace="acme"} 1.8e+09
teapot_controlplane_certificate_expiry_timestamp_seconds{name="strange",namespace="acme"} 1.8e+09
teapot_controlplane_certificate_expiry_timestamp_seconds{name="waking",namespace="acme"} 1.8e+09
# HELP teapot_controlplane_ready Whether the TenantControlPlane is Ready (1) or not (0).
# TYPE teapot_controlplane_ready gauge
teapot_controlplane_ready{name="asleep",namespace="acme"} 0
teapot_controlplane_ready{name="good",namespace="acme"} 1
teapot_controlplane_ready{name="new",namespace="acme"} 0
teapot_controlplane_ready{name="starting",namespace="acme"} 0
teapot_controlplane_ready{name="starting-too",namespace="acme"} 0
teapot_controlplane_ready{name="strange",namespace="acme"} 0
teapot_controlplane_ready{name="waking",namespace="acme"} 0
# HELP teapot_controlplanes Number of TenantControlPlanes by the status and reason of their condition Ready.
# TYPE teapot_controlplanes gauge
teapot_controlplanes{ready="False",reason="Asleep"} 1
teapot_controlplanes{ready="False",reason="Other"} 1
teapot_controlplanes{ready="False",reason="WaitingForPods"} 3
teapot_controlplanes{ready="True",reason="Ready"} 1
teapot_controlplanes{ready="Unknown",reason="Other"} 1
`
	if err := testutil.CollectAndCompare(collector{c}, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestWithoutControlPlanesThereIsASeries(t *testing.T) {
	const want = `
# HELP teapot_controlplanes Number of TenantControlPlanes by the status and reason of their condition Ready.
# TYPE teapot_controlplanes gauge
teapot_controlplanes{ready="True",reason="Ready"} 0
`
	if err := testutil.CollectAndCompare(collector{newClient(t, interceptor.Funcs{})}, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// TestACacheThatDoesNotAnswer must not take the other metrics away.
func TestACacheThatDoesNotAnswer(t *testing.T) {
	c := newClient(t, interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
		return context.DeadlineExceeded
	}})
	if err := testutil.CollectAndCompare(collector{c}, strings.NewReader("")); err != nil {
		t.Error(err)
	}
}

func TestSteps(t *testing.T) {
	ObserveStep(StepInside, 20*time.Millisecond)
	ObserveStep("made-up", time.Second)
	ObserveStep("made-up-too", time.Second)
	// The eleven, of which each is there before its first observation, and Other.
	if n := testutil.CollectAndCount(stepDuration); n != 12 {
		t.Errorf("%d series, want 12", n)
	}
}

func TestNamesFollowPrometheusCustoms(t *testing.T) {
	for _, c := range []prometheus.Collector{timeToReady, stepDuration, collector{newClient(t, interceptor.Funcs{}, controlPlane("good", metav1.ConditionTrue, teapotv1.ReasonReady))}} {
		problems, err := testutil.CollectAndLint(c)
		if err != nil || len(problems) > 0 {
			t.Error(problems, err)
		}
	}
}

// TestReasonsAreAllListed reads the constants in the source, since Go cannot list them.
func TestReasonsAreAllListed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/conditions.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	constants := sets.New[string]()
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		constants.Insert(value)
		return true
	})
	if missing, unknown := constants.Difference(reasons), reasons.Difference(constants); constants.Len() == 0 || missing.Len()+unknown.Len() > 0 {
		t.Errorf("reasons.go lacks %v and has %v too many", sets.List(missing), sets.List(unknown))
	}
}
