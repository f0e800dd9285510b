package thousand

import (
	"context"
	"fmt"
	"net/http/httputil"
	"net/url"
	"strconv"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/workers/host"
)

// hostsNamespace has the hosts of a room with machines.
const hostsNamespace = "thousand-hosts"

// addMachines makes machines possible before the manager is started: Cluster API, hosts that any
// tenant of the room may claim, and one real API server, which answers in the place of every
// tenant's, since Cluster API asks more of it than a stand-in knows.
func (r *room) addMachines(ctx context.Context, hosts int, progress func(format string, args ...any)) error {
	if err := apiserver.InstallUpstream(r.config, apiserver.BareMetalHostCRD, apiserver.HostDeployPolicyCRD); err != nil {
		return err
	}
	if err := r.startClusterAPI(ctx, progress); err != nil {
		return err
	}
	tenant, stop, err := apiserver.Start()
	if err != nil {
		return err
	}
	r.closing = append(r.closing, stop)
	tenant = rest.CopyConfig(tenant)
	tenant.QPS = -1
	if err := r.tenants.passOn(tenant); err != nil {
		return err
	}
	if err := r.startHosts(ctx, hosts); err != nil {
		return err
	}
	nodes, err := client.New(tenant, client.Options{})
	if err != nil {
		return err
	}
	return r.startMachineStandIns(ctx, nodes)
}

// passOn has a real API server answer, as its administrator, to whoever a tenant lets in.
func (t *tenantAPIs) passOn(to *rest.Config) error {
	transport, err := rest.TransportFor(to)
	if err != nil {
		return err
	}
	server, err := url.Parse(to.Host)
	if err != nil {
		return err
	}
	proxy := httputil.NewSingleHostReverseProxy(server)
	proxy.Transport, proxy.FlushInterval = transport, -1
	t.real = proxy
	return nil
}

// startHosts makes hosts that are available.
func (r *room) startHosts(ctx context.Context, count int) error {
	policy := &host.Policy{ObjectMeta: metav1.ObjectMeta{Namespace: hostsNamespace, Name: "all"}}
	policy.Spec.HostClaimNamespaces = &metal3v1.HostClaimNamespaces{Names: []string{namespace}}
	for _, object := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: hostsNamespace}}, policy} {
		if err := r.client.Create(ctx, object); err != nil {
			return fmt.Errorf("creating %T %s: %w", object, object.GetName(), err)
		}
	}
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range count {
		group.Go(func() error {
			object := claimtest.NewHost(hostsNamespace, "host-"+strconv.Itoa(i))
			if err := r.client.Create(each, object); err != nil {
				return fmt.Errorf("creating host %s: %w", object.Name, err)
			}
			claimtest.MakeAvailable(object)
			return r.client.Status().Update(each, object)
		})
	}
	return group.Wait()
}

// startMachineStandIns starts what stands for the baremetal-operator, and for the machines: each is
// a Node that is ready as soon as its host is said to run the image.
func (r *room) startMachineStandIns(ctx context.Context, nodes client.Client) error {
	mgr, err := ctrl.NewManager(r.config, r.standInOptions())
	if err != nil {
		return fmt.Errorf("making the stand-ins for machines: %w", err)
	}
	operator := &claimtest.Operator{Client: r.client}
	if err := ctrl.NewControllerManagedBy(mgr).For(&host.Object{}).Complete(reconcilerFunc(func(ctx context.Context, name types.NamespacedName) error {
		for {
			if more, err := operator.Step(ctx, name); err != nil || !more {
				return err
			}
		}
	})); err != nil {
		return fmt.Errorf("making the stand-in for the baremetal-operator: %w", err)
	}
	machines := &kubelets{machines: mgr.GetClient(), nodes: nodes}
	if err := ctrl.NewControllerManagedBy(mgr).For(&teapotv1.HostMachine{}).Complete(reconcilerFunc(machines.join)); err != nil {
		return fmt.Errorf("making the stand-in for kubelets: %w", err)
	}
	r.start(ctx, mgr)
	return nil
}

// kubelets stands for machines that boot at once and join. None sends heartbeats, and nobody
// misses them: no controller of a tenant's runs here.
type kubelets struct {
	machines, nodes client.Client
}

func (k *kubelets) join(ctx context.Context, name types.NamespacedName) error {
	machine := &teapotv1.HostMachine{}
	if err := k.machines.Get(ctx, name, machine); err != nil {
		return client.IgnoreNotFound(err)
	}
	if machine.DeletionTimestamp != nil || machine.Spec.ProviderID == "" || !ptr.Deref(machine.Status.Initialization.Provisioned, false) {
		return nil
	}
	node := &corev1.Node{}
	err := k.nodes.Get(ctx, types.NamespacedName{Name: name.Name}, node)
	if apierrors.IsNotFound(err) {
		node.Name, node.Spec.ProviderID = name.Name, machine.Spec.ProviderID
		err = k.nodes.Create(ctx, node)
	}
	if err != nil || len(node.Status.Conditions) > 0 {
		return err
	}
	node.Status.NodeInfo.KubeletVersion = kubernetesVersion
	for _, kind := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		status := corev1.ConditionFalse
		if kind == corev1.NodeReady {
			status = corev1.ConditionTrue
		}
		now := metav1.Now()
		node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{
			Type: kind, Status: status, Reason: "Bench", LastHeartbeatTime: now, LastTransitionTime: now,
		})
	}
	return k.nodes.Status().Update(ctx, node)
}
