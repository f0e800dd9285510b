package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/kubectl/pkg/cmd/get"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
)

// getOptions is "get": kubectl's own, with the kind given. So the table is the one that
// the API server makes, and every output format of kubectl's is there.
type getOptions struct {
	*environment
	subject subject
	get     *get.GetOptions
	factory cmdutil.Factory
	args    []string
}

func newGetCommand(e *environment) *cobra.Command {
	o := newGetOptions(e, controlPlanes)
	cmd := &cobra.Command{
		Use:     "get [NAME...] [options]",
		Aliases: []string{"list", "ls"},
		Short:   "Show control planes, pools, machines, claims or hosts",
		Long: e.long(`
			Show control planes, all of a namespace or those that are named. Pools, machines,
			claims and the hosts behind them are shown by commands below this one.

			-o wide adds the namespace of the pods, when certificates expire, and the message
			of the Ready condition.`),
		Example: e.examples(`
			# Those of the current namespace
			{teapot} get

			# Those of all namespaces, with more columns
			{teapot} get -A -o wide

			# One, as it is stored
			{teapot} get acme -o yaml

			# The address of its API
			{teapot} get acme -o jsonpath='{.status.endpoint.url}'

			# Follow what becomes of them
			{teapot} get --watch`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNames(0),
	}
	o.addFlags(cmd)
	cmd.AddCommand(newGetPoolsCommand(e), newGetMachinesCommand(e), newGetClaimsCommand(e), newGetHostsCommand(e))
	return cmd
}

// newGetClaimsCommand is "get claims".
func newGetClaimsCommand(e *environment) *cobra.Command {
	o := newGetOptions(e, machineClaims)
	cmd := &cobra.Command{
		Use:     "claims [NAME...] [options]",
		Aliases: []string{"claim", o.subject.resource.Resource, o.subject.word, o.subject.short},
		Short:   "Show claims of machines: which host, how far",
		Long: e.long(`
			Show MachineClaims, all of a namespace or those that are named: the host that each
			holds, the phase that it is in, and for how long.

			-o wide adds the message of the Ready condition, which says what is waited for.`),
		Example: e.examples(`
			# Those of the current namespace, with what they wait for
			{teapot} get claims -o wide

			# Follow what becomes of them
			{teapot} get claims --watch`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNamesOf(o.subject, 0),
	}
	o.addFlags(cmd)
	return cmd
}

// newGetPoolsCommand is "get pools".
func newGetPoolsCommand(e *environment) *cobra.Command {
	o := newGetOptions(e, workerPools)
	cmd := &cobra.Command{
		Use:     "pools [NAME...] [options]",
		Aliases: poolWords,
		Short:   "Show pools of machines: how many, how many work",
		Long: e.long(`
			Show WorkerPools, all of a namespace or those that are named: how many machines are
			wanted, are there, work, and are as the pool has them.

			-o wide adds the autoscaler's bounds, and the message of the Ready condition, which
			says what is waited for.`),
		Example: e.examples(`
			# Those of the current namespace, with what they wait for
			{teapot} get pools -o wide

			# Follow what becomes of one
			{teapot} get pools web --watch`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNamesOf(o.subject, 0),
	}
	o.addFlags(cmd)
	return cmd
}

func newGetOptions(e *environment, s subject) *getOptions {
	return &getOptions{environment: e, subject: s, get: get.NewGetOptions(e.program, e.IOStreams), factory: cmdutil.NewFactory(e.flags)}
}

func (o *getOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.get.PrintFlags.AddFlags(cmd)
	flags.BoolVarP(&o.get.AllNamespaces, "all-namespaces", "A", false, "Show those of all namespaces")
	cmdutil.AddLabelSelectorFlagVar(cmd, &o.get.LabelSelector)
	flags.BoolVarP(&o.get.Watch, "watch", "w", false, "Go on and show changes")
	flags.BoolVar(&o.get.IgnoreNotFound, "ignore-not-found", false, "It is no error if a named one does not exist")
	tidyOutputFlags(cmd, "Output `FORMAT`: wide, json, yaml, name, jsonpath=..., go-template=... or custom-columns=...", "no-headers", "show-labels", "sort-by")
}

func (o *getOptions) Complete(cmd *cobra.Command, args []string) error {
	names := args
	if len(args) == 1 && o.subject.isKindWord(args[0]) {
		names = nil
	}
	names, err := o.subject.names(names)
	if err != nil {
		return err
	}
	switch {
	case len(names) > 0 && o.get.AllNamespaces:
		return usagef("names and --all-namespaces exclude each other: a name is in one namespace, given with -n")
	case len(names) > 0 && o.get.LabelSelector != "":
		return usagef("names and --selector exclude each other")
	case len(names) > 1 && o.get.Watch:
		return usagef("--watch follows one %s or all of a namespace, not %d", o.subject.noun, len(names))
	}
	kind := strings.Join([]string{o.subject.resource.Resource, o.subject.resource.Version, o.subject.resource.Group}, ".")
	o.args = append([]string{kind}, names...)
	return o.get.Complete(o.factory, cmd, o.args)
}

func (o *getOptions) Validate() error { return o.get.Validate() }

func (o *getOptions) Run(context.Context) error { return o.get.Run(o.factory, o.args) }
