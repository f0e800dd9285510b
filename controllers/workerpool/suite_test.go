package workerpool_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/controllers/workerpool"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// One real kube-apiserver, with the CRDs of Cluster API, and one manager serve all tests of the
// package. The tests play Cluster API.
var (
	config *rest.Config
	scheme *runtime.Scheme
	direct client.Client
)

// byHandLabel marks pools that a test reconciles by hand: the manager leaves them alone.
const byHandLabel = "test.teapot.dev/by-hand"

func TestMain(m *testing.M) {
	ctrl.SetLogger(textlogger.NewLogger(textlogger.NewConfig()))
	os.Exit(apiserver.RunManaged(m, prepare))
}

func prepare(of *rest.Config) (apiserver.Manager, error) {
	config, scheme = of, controllers.Scheme()
	if err := installClusterAPI(config); err != nil {
		return nil, err
	}
	var err error
	if direct, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	return newManager(config)
}

func installClusterAPI(into *rest.Config) error {
	return apiserver.InstallUpstream(into, apiserver.ClusterAPICRDs, apiserver.KubeadmBootstrapCRDs)
}

func newManager(of *rest.Config) (ctrl.Manager, error) {
	options := controllers.CacheOptions()
	notByHand, err := labels.NewRequirement(byHandLabel, selection.DoesNotExist, nil)
	if err != nil {
		return nil, err
	}
	options.ByObject[&teapotv1.WorkerPool{}] = cache.ByObject{Label: labels.NewSelector().Add(*notByHand)}
	fast := rest.CopyConfig(of)
	fast.QPS = -1
	mgr, err := ctrl.NewManager(fast, ctrl.Options{
		Scheme: scheme, Cache: options,
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
	})
	if err != nil {
		return nil, err
	}
	pools := &workerpool.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("teapot"), Clock: clock.RealClock{},
	}
	return mgr, pools.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: 4, SkipNameValidation: ptr.To(true)})
}

// defaultReplicas does to MachineDeployments without replicas what Cluster API's webhook does: the
// least number of the autoscaler's at first, and then what was there, within its bounds
// (calculateMachineDeploymentReplicas in core/webhooks/admission/machinedeployment.go, v1.14.2).
func defaultReplicas(t *testing.T) {
	t.Helper()
	const expression = `[JSONPatch{op: "add", path: "/spec/replicas", value:
		oldObject == null || !has(oldObject.spec.replicas) || oldObject.spec.replicas < variables.least ? variables.least :
		oldObject.spec.replicas > variables.most ? variables.most : oldObject.spec.replicas}]`
	bound := func(name, annotation string) admissionv1.Variable {
		return admissionv1.Variable{Name: name, Expression: fmt.Sprintf("int(object.metadata.annotations[%q])", annotation)}
	}
	policy := &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "default-replicas"},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			FailurePolicy:      ptr.To(admissionv1.Fail),
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{clusterv1.GroupVersion.Group}, APIVersions: []string{"*"}, Resources: []string{"machinedeployments"}},
				},
			}}},
			MatchConditions: []admissionv1.MatchCondition{{Name: "without-replicas", Expression: "!has(object.spec.replicas)"}},
			Variables:       []admissionv1.Variable{bound("least", clusterv1.AutoscalerMinSizeAnnotation), bound("most", clusterv1.AutoscalerMaxSizeAnnotation)},
			Mutations:       []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: expression}}},
		},
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "default-replicas"},
		Spec:       admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: "default-replicas"},
	}
	must(t, client.IgnoreAlreadyExists(direct.Create(t.Context(), policy)))
	must(t, client.IgnoreAlreadyExists(direct.Create(t.Context(), binding)))
	namespace := newNamespace(t, direct)
	eventually(t, "the API server to follow the policy", func() error {
		md := &clusterv1.MachineDeployment{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "trial-", Namespace: namespace, Annotations: map[string]string{
				clusterv1.AutoscalerMinSizeAnnotation: "2", clusterv1.AutoscalerMaxSizeAnnotation: "5",
			}},
			Spec: clusterv1.MachineDeploymentSpec{ClusterName: "trial", Selector: metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}},
		}
		md.Spec.Template.Spec = clusterv1.MachineSpec{
			ClusterName: "trial", InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: "a.b", Kind: "C", Name: "d"},
			Bootstrap: clusterv1.Bootstrap{DataSecretName: ptr.To("e")},
		}
		if err := direct.Create(t.Context(), md); err != nil {
			return err
		}
		if got := ptr.Deref(md.Spec.Replicas, -1); got != 2 {
			return fmt.Errorf("replicas are %d", got)
		}
		return nil
	})
}

// eventually looks at the API server's state until a condition holds.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	apiserver.Eventually(t, 30*time.Second, what, check)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newNamespace(t testing.TB, c client.Client) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-"}}
	must(t, c.Create(t.Context(), namespace))
	return namespace.Name
}
