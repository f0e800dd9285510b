package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// describePoolOptions is "describe pool".
type describePoolOptions struct {
	*environment
	showEvents bool

	namespaceName string
	names         []string
}

func newDescribePoolCommand(e *environment) *cobra.Command {
	o := &describePoolOptions{environment: e}
	cmd := &cobra.Command{
		Use:     "pool NAME... [options]",
		Aliases: poolWords,
		Short:   "Show all about pools of machines, for people",
		Long: e.long(`
			Show what is known of WorkerPools: how many machines there are and work, each one
			and why it does not, every condition with its whole message, what to do, and events.`),
		Example: e.examples(`
			# One
			{teapot} describe pool web`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNamesOf(workerPools, 0),
	}
	cmd.Flags().BoolVar(&o.showEvents, "show-events", true, "Show events too")
	return cmd
}

func (o *describePoolOptions) Complete(cmd *cobra.Command, args []string) error {
	var err error
	if o.names, err = workerPools.someNames(cmd, args); err != nil {
		return err
	}
	o.namespaceName, _, err = o.namespace()
	return err
}

func (o *describePoolOptions) Validate() error { return nil }

func (o *describePoolOptions) Run(ctx context.Context) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	return describeEach(o.Out, o.names, func(name string) (string, error) {
		d := &describedPool{program: o.program, showEvents: o.showEvents}
		key := types.NamespacedName{Namespace: o.namespaceName, Name: name}
		if err := c.Get(ctx, key, &d.pool); err != nil {
			return "", err
		}
		if d.machines, d.machinesErr = machinesOfPool(ctx, c, &d.pool); d.machinesErr != nil {
			d.machinesErr = o.explainMachines(d.machinesErr)
		}
		// Which hosts they are is not everybody's to know, nor the Clusters: without them the rest is shown.
		hosts, clusters := &teapotv1.HostMachineList{}, &clusterv1.ClusterList{}
		_ = c.List(ctx, hosts, client.InNamespace(key.Namespace), client.MatchingLabels{teapotv1.PoolLabel: name})
		_ = c.List(ctx, clusters, client.InNamespace(key.Namespace))
		d.hosts, d.clusters = hosts.Items, clusters.Items
		if o.showEvents {
			d.events, d.eventsErr = listEvents(ctx, c, client.InNamespace(key.Namespace), eventsAbout(workerPools, name))
		}
		return d.text(o.clock.Now()), nil
	})
}

// describedPool is what "describe pool" shows of one pool.
type describedPool struct {
	pool       teapotv1.WorkerPool
	program    string
	showEvents bool

	machines []clusterv1.Machine
	hosts    []teapotv1.HostMachine
	clusters []clusterv1.Cluster
	events   []corev1.Event
	// What could not be read has an error.
	machinesErr, eventsErr error
}

// text is the whole description.
func (d *describedPool) text(now time.Time) string {
	age := inAges(now)
	w := &strings.Builder{}
	section := writeHead(w, d.facts(now), d.next())
	section("Machines")
	writeRows(w, machineTable{}.rows(d.machines, d.hosts, d.clusters, now), "list machines", d.pool.Namespace, d.machinesErr)
	section("Asked for (spec)")
	writeSpec(w, &d.pool.Spec)
	section("Conditions")
	writeConditions(w, d.pool.Status.Conditions, age)
	if d.showEvents {
		section("Events of " + d.pool.Name)
		writeRows(w, eventRows(d.events, age), "list events", d.pool.Namespace, d.eventsErr)
	}
	return w.String()
}

// facts are what a glance is for.
func (d *describedPool) facts(now time.Time) [][]string {
	p, status := &d.pool, &d.pool.Status
	rows := identity(&p.ObjectMeta, now)
	add := func(name, value string) { rows = append(rows, []string{name + ":", value}) }
	if p.Spec.Paused {
		add("Paused", "yes (spec.paused): nothing is done about it")
	}
	add("Control plane", p.Spec.ControlPlaneName)
	if status.ClusterName != "" {
		add("Cluster", status.ClusterName)
	}
	add("Version", p.Spec.Version)
	add("Image", p.Spec.Image.URL)
	if bounds := p.Spec.Autoscaling; bounds != nil {
		add("Wanted", fmt.Sprintf("%s, between %d and %d as the Cluster Autoscaler decides", number(status.DesiredReplicas), bounds.MinReplicas, bounds.MaxReplicas))
	} else {
		add("Wanted", number(p.Spec.Replicas))
	}
	if status.Replicas == nil {
		add("Machines", number(nil))
	} else {
		add("Machines", fmt.Sprintf("%d: %d ready, %d available, %d up to date", *status.Replicas,
			ptr.Deref(status.ReadyReplicas, 0), ptr.Deref(status.AvailableReplicas, 0), ptr.Deref(status.UpToDateReplicas, 0)))
	}
	return rows
}

// number is a count that may not be known yet.
func number(n *int32) string {
	if n == nil {
		return "not known yet"
	}
	return fmt.Sprint(*n)
}

// next is what to do, by the reason for which the pool is not Ready; empty: nothing.
func (d *describedPool) next() string {
	ready := meta.FindStatusCondition(d.pool.Status.Conditions, teapotv1.ReadyCondition)
	if ready == nil || ready.Status == metav1.ConditionTrue {
		return ""
	}
	remedy := poolRemedies[ready.Reason]
	if remedy == "" {
		remedy = remedies[ready.Reason]
	}
	return strings.NewReplacer("{teapot}", d.program, "{namespace}", d.pool.Namespace, "{name}", d.pool.Name,
		"{tcp}", d.pool.Spec.ControlPlaneName).Replace(remedy)
}
