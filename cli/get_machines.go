package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

var (
	machineKind = clusterv1.GroupVersion.WithKind("Machine")
	// machineKinds are what the commands about machines read beside pools.
	machineKinds = []schema.GroupVersionKind{machineKind, clusterv1.GroupVersion.WithKind(clusterv1.ClusterKind), teapotv1.GroupVersion.WithKind("HostMachine")}
)

// getMachinesOptions is "get machines".
type getMachinesOptions struct {
	*environment
	allNamespaces, watch         bool
	pool, controlPlane, selector string
	printFlags                   *genericclioptions.PrintFlags

	namespaceName string
	names         []string
	labels        labels.Selector
	// printer is nil for tables.
	printer printers.ResourcePrinter
}

func newGetMachinesCommand(e *environment) *cobra.Command {
	o := &getMachinesOptions{environment: e, printFlags: genericclioptions.NewPrintFlags("")}
	cmd := &cobra.Command{
		Use:     "machines [NAME...] [options]",
		Aliases: []string{"machine", "ma"},
		Short:   "Show machines: pool, Node, host, and why one is not ready",
		Long: e.long(`
			Show Cluster API's Machines, all of a namespace or those of a pool or control plane:
			the Node and the host of each, how far it is, and why it is not ready.

			-o wide adds the cluster and the failure domain, and shows messages in full.`),
		Example: e.examples(`
			# Those of a pool, and what becomes of them
			{teapot} get machines --pool web --watch

			# Those of a control plane, in full
			{teapot} get machines --control-plane acme -o wide

			# As they are stored
			{teapot} get machines --pool web -o yaml`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeMachines,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.pool, "pool", "", "Show those of the pool `NAME`")
	flags.StringVar(&o.controlPlane, "control-plane", "", "Show those of the control plane `NAME`")
	flags.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "Show those of all namespaces")
	flags.StringVarP(&o.selector, "selector", "l", "", "Show those with labels, for example example.com/team=red")
	flags.BoolVarP(&o.watch, "watch", "w", false, "Go on and show changes")
	o.printFlags.AddFlags(cmd)
	tidyOutputFlags(cmd, "Output `FORMAT`: wide, json, yaml, name, jsonpath=... or go-template=...")
	_ = cmd.RegisterFlagCompletionFunc("pool", e.completeFlag(workerPools))
	_ = cmd.RegisterFlagCompletionFunc("control-plane", e.completeFlag(controlPlanes))
	return cmd
}

func (o *getMachinesOptions) Complete(_ *cobra.Command, args []string) error {
	o.names = args
	var err error
	if o.labels, err = labels.Parse(o.selector); err != nil {
		return usagef("--selector %q: %v", o.selector, err)
	}
	if format := *o.printFlags.OutputFormat; format != "" && format != "wide" {
		if o.printer, err = o.printFlags.ToPrinter(); err != nil {
			return err
		}
	}
	if o.allNamespaces {
		return nil
	}
	o.namespaceName, _, err = o.namespace()
	return err
}

func (o *getMachinesOptions) Validate() error {
	narrowed := o.pool != "" || o.controlPlane != "" || o.selector != ""
	switch {
	case len(o.names) > 0 && o.allNamespaces:
		return errors.New("names and --all-namespaces exclude each other: a name is in one namespace, given with -n")
	case len(o.names) > 0 && narrowed:
		return errors.New("names and --pool, --control-plane or --selector exclude each other")
	case o.allNamespaces && (o.pool != "" || o.controlPlane != ""):
		return errors.New("--all-namespaces and --pool or --control-plane exclude each other: these are in one namespace, given with -n")
	}
	return nil
}

func (o *getMachinesOptions) Run(ctx context.Context) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	if err := o.narrow(ctx, c); err != nil {
		return err
	}
	if o.watch {
		return o.explainMachines(o.follow(ctx, c))
	}
	list := &clusterv1.MachineList{}
	if err := c.List(ctx, list, client.InNamespace(o.namespaceName), client.MatchingLabelsSelector{Selector: o.labels}); err != nil {
		return o.explainMachines(err)
	}
	list.Items = slices.DeleteFunc(list.Items, func(m clusterv1.Machine) bool { return !o.asked(m.Name) })
	var missing []error
	for _, name := range o.names {
		if !slices.ContainsFunc(list.Items, func(m clusterv1.Machine) bool { return m.Name == name }) {
			missing = append(missing, fmt.Errorf("machine %q not found in namespace %q%s; see all that there are with: %s get machines -A", name, o.namespaceName, o.inContext(), o.program))
		}
	}
	if len(list.Items) == 0 && o.printer == nil {
		if len(missing) == 0 {
			o.none()
		}
		return errors.Join(missing...)
	}
	return errors.Join(append(missing, o.print(ctx, c, list))...)
}

// narrow adds what --pool and --control-plane ask for to the selector.
func (o *getMachinesOptions) narrow(ctx context.Context, c client.Client) error {
	add := func(label, value string) error {
		requirement, err := labels.NewRequirement(label, selection.Equals, []string{value})
		if err != nil {
			return err
		}
		o.labels = o.labels.Add(*requirement)
		return nil
	}
	// A name that does not exist is a mistake, and not a pool without machines.
	if o.pool != "" {
		if err := c.Get(ctx, types.NamespacedName{Namespace: o.namespaceName, Name: o.pool}, workerPools.newObject()); err != nil {
			return err
		}
		if err := add(teapotv1.PoolLabel, o.pool); err != nil {
			return err
		}
	}
	if o.controlPlane == "" {
		return nil
	}
	tcp := &teapotv1.TenantControlPlane{}
	if err := c.Get(ctx, types.NamespacedName{Namespace: o.namespaceName, Name: o.controlPlane}, tcp); err != nil {
		return err
	}
	return add(clusterv1.ClusterNameLabel, cmp.Or(clusterapi.OwnerName(tcp, clusterv1.ClusterKind), tcp.Name))
}

// asked says whether a machine of that name was asked for.
func (o *getMachinesOptions) asked(name string) bool {
	return len(o.names) == 0 || slices.Contains(o.names, name)
}

// none says that there is nothing to show.
func (o *getMachinesOptions) none() {
	switch {
	case o.allNamespaces || o.pool != "" || o.controlPlane != "" || o.selector != "":
		o.notef("No machines found.")
	default:
		o.notef("No machines found in %s namespace. Those of all: %s get machines -A", o.namespaceName, o.program)
	}
}

// print writes machines in the format that was asked for.
func (o *getMachinesOptions) print(ctx context.Context, c client.Client, list *clusterv1.MachineList) error {
	if o.printer == nil {
		// Which hosts they are is not everybody's to know, nor the Clusters: without them the rest is shown.
		hosts, clusters := &teapotv1.HostMachineList{}, &clusterv1.ClusterList{}
		_ = c.List(ctx, hosts, client.InNamespace(o.namespaceName))
		_ = c.List(ctx, clusters, client.InNamespace(o.namespaceName))
		text := &strings.Builder{}
		writeTable(text, "", o.table().rows(list.Items, hosts.Items, clusters.Items, o.clock.Now()))
		_, err := fmt.Fprint(o.Out, printers.EscapeTerminal(text.String()))
		return err
	}
	for i := range list.Items {
		list.Items[i].SetGroupVersionKind(machineKind)
	}
	if *o.printFlags.OutputFormat == "name" || len(o.names) == 1 && len(list.Items) == 1 {
		for i := range list.Items {
			if err := o.printer.PrintObj(&list.Items[i], o.Out); err != nil {
				return err
			}
		}
		return nil
	}
	list.SetGroupVersionKind(clusterv1.GroupVersion.WithKind("MachineList"))
	return o.printer.PrintObj(list, o.Out)
}

func (o *getMachinesOptions) table() machineTable {
	return machineTable{namespaces: o.allNamespaces, wide: *o.printFlags.OutputFormat == "wide"}
}

// explainMachines says what a refusal to list machines means.
func (e *environment) explainMachines(err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the right to list machines.cluster.x-k8s.io is missing; how many there are is shown by: %s get pools", e.program)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("Cluster API is not installed in this cluster%s: the kind Machine is not known to it; docs/machines.md says what machines need", e.inContext())
	default:
		return err
	}
}

// completeMachines completes the names of machines.
func (e *environment) completeMachines(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return e.completeNamesOf(subject{kind: machineKind}, 0)(cmd, args, toComplete)
}
