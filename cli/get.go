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
	get     *get.GetOptions
	factory cmdutil.Factory
	args    []string
}

func newGetCommand(e *environment) *cobra.Command {
	o := &getOptions{environment: e, get: get.NewGetOptions(e.program, e.IOStreams), factory: cmdutil.NewFactory(e.flags)}
	cmd := &cobra.Command{
		Use:     "get [NAME...] [options]",
		Aliases: []string{"list", "ls"},
		Short:   "Show control planes",
		Long: e.long(`
			Show control planes, all of a namespace or those that are named.

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
	flags := cmd.Flags()
	o.get.PrintFlags.AddFlags(cmd)
	flags.BoolVarP(&o.get.AllNamespaces, "all-namespaces", "A", false, "Show those of all namespaces")
	cmdutil.AddLabelSelectorFlagVar(cmd, &o.get.LabelSelector)
	flags.BoolVarP(&o.get.Watch, "watch", "w", false, "Go on and show changes")
	flags.BoolVar(&o.get.IgnoreNotFound, "ignore-not-found", false, "It is no error if a named one does not exist")
	tidyOutputFlags(cmd, "Output `FORMAT`: wide, json, yaml, name, jsonpath=..., go-template=... or custom-columns=...", "no-headers", "show-labels", "sort-by")
	return cmd
}

func (o *getOptions) Complete(cmd *cobra.Command, args []string) error {
	names := args
	if len(args) == 1 && isKindWord(args[0]) {
		names = nil
	}
	names, err := controlPlaneNames(names)
	if err != nil {
		return err
	}
	switch {
	case len(names) > 0 && o.get.AllNamespaces:
		return usagef("names and --all-namespaces exclude each other: a name is in one namespace, given with -n")
	case len(names) > 0 && o.get.LabelSelector != "":
		return usagef("names and --selector exclude each other")
	case len(names) > 1 && o.get.Watch:
		return usagef("--watch follows one control plane or all of a namespace, not %d", len(names))
	}
	kind := strings.Join([]string{controlPlaneResource.Resource, controlPlaneResource.Version, controlPlaneResource.Group}, ".")
	o.args = append([]string{kind}, names...)
	return o.get.Complete(o.factory, cmd, o.args)
}

func (o *getOptions) Validate() error { return o.get.Validate() }

func (o *getOptions) Run(context.Context) error { return o.get.Run(o.factory, o.args) }
