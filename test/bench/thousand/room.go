package thousand

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"golang.org/x/sync/errgroup"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/pki"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/bench/process"
)

// namespace holds every TenantControlPlane of a room.
const namespace = "thousand"

// kubernetesVersion is that of every control plane and machine.
const kubernetesVersion = "v1.36.3"

// room is a management cluster with a manager in it. Machines come by addMachines.
type room struct {
	config  *rest.Config
	client  client.Client
	tenants *tenantAPIs
	roster  *roster
	// apiServerMetrics and managerMetrics are who may read them.
	apiServerMetrics, managerMetrics *http.Client

	folder, binary, kubeconfig, log string
	manager                         *process.Process
	// reviewed is how many reviews the API server had been asked for when the manager was started.
	reviewed float64
	// providers are Cluster API's, if it is there.
	providers []*process.Process

	// closing undoes what was opened, last first.
	closing []func() error
}

// openRoom starts everything but the manager. The room is to be closed, also when opening
// it failed.
func openRoom(ctx context.Context) (*room, error) {
	r := &room{tenants: newTenantAPIs(process.Address()), roster: newRoster()}
	folder, err := process.Folder("thousand")
	if err != nil {
		return r, err
	}
	r.folder = folder
	r.closing = append(r.closing, func() error { return os.RemoveAll(folder) })
	r.log, r.kubeconfig = filepath.Join(folder, "manager.log"), filepath.Join(folder, "kubeconfig")
	if r.binary, err = process.Build(ctx, folder, "cmd/teapot-manager"); err != nil {
		return r, err
	}

	config, stop, err := apiserver.Start()
	if err != nil {
		return r, err
	}
	r.closing = append(r.closing, stop)
	r.config = rest.CopyConfig(config)
	r.config.QPS = -1 // what stands for a whole cluster does not throttle itself
	if err := r.writeKubeconfig(); err != nil {
		return r, err
	}
	if r.client, err = client.New(r.config, client.Options{Scheme: controllers.Scheme()}); err != nil {
		return r, err
	}
	if r.apiServerMetrics, err = rest.HTTPClientFor(r.config); err != nil {
		return r, err
	}
	if err := r.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return r, fmt.Errorf("creating namespace %s: %w", namespace, err)
	}
	if err := r.widenServices(ctx); err != nil {
		return r, err
	}
	if r.managerMetrics, err = r.reader(ctx); err != nil {
		return r, err
	}
	r.closing = append(r.closing, r.tenants.close)
	return r, r.startStandIns(ctx)
}

// close ends everything that the room began.
func (r *room) close() error {
	var errs []error
	if r.manager != nil {
		errs = append(errs, r.manager.Stop())
	}
	for _, provider := range r.providers {
		errs = append(errs, provider.Stop())
	}
	for i := len(r.closing) - 1; i >= 0; i-- {
		errs = append(errs, r.closing[i]())
	}
	return errors.Join(errs...)
}

func (r *room) writeKubeconfig() error {
	encoded, err := pki.Kubeconfig{
		Cluster: "management", Server: r.config.Host, CA: r.config.CAData,
		User: "teapot-manager", Client: pki.KeyPair{Cert: r.config.CertData, Key: r.config.KeyData},
	}.Encode()
	if err != nil {
		return err
	}
	return os.WriteFile(r.kubeconfig, encoded, 0o600)
}

// widenServices adds addresses for the tenants' Services: the test's API server has 254.
// What makes a ServiceCIDR ready is kube-controller-manager, which does not run here.
func (r *room) widenServices(ctx context.Context) error {
	addresses := &networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: "thousand"},
		Spec:       networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.128.0.0/16"}},
	}
	if err := r.client.Create(ctx, addresses); err != nil {
		return fmt.Errorf("adding addresses for Services: %w", err)
	}
	addresses.Status.Conditions = []metav1.Condition{{
		Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", LastTransitionTime: metav1.Now(),
	}}
	if err := r.client.Status().Update(ctx, addresses); err != nil {
		return fmt.Errorf("adding addresses for Services: %w", err)
	}
	return nil
}

// reader makes a client for the manager's metrics, which it serves to service accounts with
// the right to read them, with a certificate that it makes for itself.
func (r *room) reader(ctx context.Context) (*http.Client, error) {
	const name = "thousand-metrics"
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(4 * 60 * 60))}}
	err := errors.Join(
		r.client.Create(ctx, account),
		r.client.Create(ctx, &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
		}),
		r.client.Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
		}),
		r.client.SubResource("token").Create(ctx, account, token),
	)
	if err != nil {
		return nil, fmt.Errorf("making a reader of the manager's metrics: %w", err)
	}
	return rest.HTTPClientFor(&rest.Config{BearerToken: token.Status.Token, TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
}

// startStandIns starts what stands for the rest of the cluster, and the roster.
func (r *room) startStandIns(ctx context.Context) error {
	mgr, err := ctrl.NewManager(r.config, r.standInOptions())
	if err != nil {
		return fmt.Errorf("making the stand-ins: %w", err)
	}
	if err := (&workloads{client: mgr.GetClient(), live: mgr.GetAPIReader(), tenants: r.tenants}).setUp(mgr); err != nil {
		return fmt.Errorf("making the stand-ins: %w", err)
	}
	if err := r.roster.watch(ctx, mgr.GetCache()); err != nil {
		return err
	}
	r.start(ctx, mgr)
	return nil
}

// standInOptions are those of a manager of stand-ins.
func (r *room) standInOptions() ctrl.Options {
	return ctrl.Options{
		Scheme:  controllers.Scheme(),
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		// Two rooms, one after the other, may be in one process.
		Controller: ctrlconfig.Controller{MaxConcurrentReconciles: 8, SkipNameValidation: new(true)},
	}
}

// start starts a manager of stand-ins, which ends when the room is closed.
func (r *room) start(ctx context.Context, mgr ctrl.Manager) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	r.closing = append(r.closing, func() error { cancel(); return <-ended })
}

// launchManager starts the manager.
func (r *room) launchManager(ctx context.Context) error {
	families, err := r.apiServerSays(ctx)
	if err != nil {
		return err
	}
	r.reviewed = countReviews(families)
	r.manager, err = startManager(r.binary, r.kubeconfig, r.tenants.address, r.log)
	return err
}

// startManager starts the manager and returns when it works.
func (r *room) startManager(ctx context.Context) error {
	if err := r.launchManager(ctx); err != nil {
		return err
	}
	err := r.await(ctx, time.Minute, func() bool {
		families, err := r.managerSays(ctx)
		return err == nil && families["controller_runtime_max_concurrent_reconciles"] != nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the manager to work: %w", err)
	}
	return nil
}

// said is the end of the manager's log.
func (r *room) said() string { return tail(r.log) }

// tail is the end of a log.
func tail(file string) string {
	log, _ := os.ReadFile(file) // what cannot be read says nothing
	lines := strings.Split(string(log), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

func (r *room) stopManager() error {
	m := r.manager
	r.manager = nil
	return m.Stop()
}

func (r *room) managerSays(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	return scrape(ctx, r.managerMetrics, "https://"+net.JoinHostPort(r.tenants.address, metricsPort)+"/metrics")
}

func (r *room) apiServerSays(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	address, err := url.JoinPath(r.config.Host, "metrics")
	if err != nil {
		return nil, err
	}
	return scrape(ctx, r.apiServerMetrics, address)
}

func (r *room) writes(ctx context.Context) (writes, error) {
	families, err := r.apiServerSays(ctx)
	return countWrites(families), err
}

func (r *room) reconciles(ctx context.Context) (reconciles, error) {
	families, err := r.managerSays(ctx)
	return countReconciles(families), err
}

// grow applies control planes until there is a number of them, and waits until all are
// Ready. It returns how long that took.
func (r *room) grow(ctx context.Context, to int, within time.Duration) (time.Duration, error) {
	began := time.Now()
	group, applying := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := r.roster.size(); i < to; i++ {
		group.Go(func() error {
			return r.client.Create(applying, &teapotv1.TenantControlPlane{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "tenant-" + strconv.Itoa(i)},
				Spec:       teapotv1.TenantControlPlaneSpec{Version: kubernetesVersion},
			})
		})
	}
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("creating control planes: %w", err)
	}
	if err := r.await(ctx, within, func() bool { return r.roster.ready() >= to }); err != nil {
		return 0, fmt.Errorf("%d of %d control planes are Ready, %s: %w", r.roster.ready(), to, r.roster.anyUnready(), err)
	}
	return time.Since(began), nil
}

// settle waits until nothing is written while every tenant is asked four times, which takes eight seconds.
func (r *room) settle(ctx context.Context) error {
	const within = 2 * time.Minute
	deadline := time.Now().Add(within)
	for {
		before, err := r.writes(ctx)
		if err != nil {
			return err
		}
		if err := r.awaitPolls(ctx, 4, time.Minute); err != nil {
			return err
		}
		after, err := r.writes(ctx)
		if err != nil {
			return err
		}
		written := after.since(before)
		if written.sum() == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("writes do not cease within %s, at last: %v", within, written)
		}
	}
}

// awaitPolls waits until every tenant that there is now was asked a number of times more.
func (r *room) awaitPolls(ctx context.Context, more int64, within time.Duration) error {
	before := r.tenants.polls()
	missing := 0
	err := r.await(ctx, within, func() bool {
		missing = 0
		for owner, now := range r.tenants.polls() {
			if earlier, ok := before[owner]; ok && now < earlier+more {
				missing++
			}
		}
		return missing == 0
	})
	if err != nil {
		return fmt.Errorf("%d of %d tenants were not asked %d times more: %w", missing, len(before), more, err)
	}
	return nil
}

// await polls a condition, while the managers run.
func (r *room) await(ctx context.Context, within time.Duration, done func() bool) error {
	return r.awaitEach(ctx, 50*time.Millisecond, within, done)
}

// awaitEach is await for what costs something to look at.
func (r *room) awaitEach(ctx context.Context, interval, within time.Duration, done func() bool) error {
	return wait.PollUntilContextTimeout(ctx, interval, within, true, func(context.Context) (bool, error) {
		for _, each := range append(slices.Clone(r.providers), r.manager) {
			if each == nil {
				continue
			}
			if err := each.Err(); err != nil {
				return false, err
			}
		}
		return done(), nil
	})
}
