package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/workers/host"
)

// hostKinds are Metal3's, which the commands about hosts read.
var hostKinds = []schema.GroupVersionKind{
	schema.GroupVersion{Group: "metal3.io", Version: "v1alpha1"}.WithKind("BareMetalHost"),
	schema.GroupVersion{Group: "metal3.io", Version: "v1alpha1"}.WithKind("HostDeployPolicy"),
}

// getHostsOptions is "get hosts".
type getHostsOptions struct {
	*environment
	allNamespaces bool
	selector      string
	output        string

	namespaceName string
	names         []string
	labels        labels.Selector
}

func newGetHostsCommand(e *environment) *cobra.Command {
	o := &getHostsOptions{environment: e}
	cmd := &cobra.Command{
		Use:     "hosts [NAME...] [options]",
		Aliases: []string{"host", "baremetalhosts", "baremetalhost", "bmh"},
		Short:   "Show hosts: who holds what, and what is free",
		Long: e.long(`
			Show BareMetalHosts: the state and the hardware of each, the claim that holds it,
			and whether it can be claimed or why not. Below stands how many of each class of
			hardware are free.

			Hosts are the operators' (ClusterRole teapot-operator). Other formats are those of
			"kubectl get baremetalhosts".`),
		Example: e.examples(`
			# All hosts
			{teapot} get hosts -A

			# Those of one rack, with their costs and errors
			{teapot} get hosts -n metal -l example.com/rack=r7 -o wide`),
		RunE: e.run(o),
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "Show those of all namespaces")
	flags.StringVarP(&o.selector, "selector", "l", "", "Show those with labels, for example example.com/rack=r7")
	flags.StringVarP(&o.output, "output", "o", "", "Output `FORMAT`: wide")
	return cmd
}

func (o *getHostsOptions) Complete(_ *cobra.Command, args []string) error {
	o.names = args
	var err error
	if o.labels, err = labels.Parse(o.selector); err != nil {
		return usagef("--selector %q: %v", o.selector, err)
	}
	if o.allNamespaces {
		return nil
	}
	o.namespaceName, _, err = o.namespace()
	return err
}

func (o *getHostsOptions) Validate() error {
	switch {
	case o.output != "" && o.output != "wide":
		return fmt.Errorf("--output %q: must be wide; kubectl get baremetalhosts has every other format", o.output)
	case len(o.names) > 0 && o.allNamespaces:
		return errors.New("names and --all-namespaces exclude each other: a name is in one namespace, given with -n")
	case len(o.names) > 0 && o.selector != "":
		return errors.New("names and --selector exclude each other")
	}
	return nil
}

func (o *getHostsOptions) Run(ctx context.Context) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	list := &host.List{}
	if err := c.List(ctx, list, client.InNamespace(o.namespaceName), client.MatchingLabelsSelector{Selector: o.labels}); err != nil {
		return o.explainHosts(err)
	}
	var hosts []host.Host
	missing := slices.Clone(o.names)
	for i := range list.Items {
		h := host.Of(&list.Items[i])
		if len(o.names) > 0 && !slices.Contains(o.names, h.Key.Name) {
			continue
		}
		hosts = append(hosts, h)
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == h.Key.Name })
	}
	if len(hosts) == 0 && len(missing) == 0 {
		if o.allNamespaces {
			o.notef("No hosts found.")
		} else {
			o.notef("No hosts found in %s namespace. Those of all: %s get hosts -A", o.namespaceName, o.program)
		}
		return nil
	}
	text := &strings.Builder{}
	if len(hosts) > 0 {
		writeTable(text, "", hostRows(hosts, o.output == "wide"))
		_, _ = fmt.Fprintln(text)
		writeTable(text, "", classRows(hosts))
	}
	// Errors come from others' programs; none of them may drive the terminal.
	_, err = fmt.Fprint(o.Out, printers.EscapeTerminal(text.String()))
	for _, name := range missing {
		err = errors.Join(err, fmt.Errorf("host %q not found in namespace %q%s; see all that there are with: %s get hosts -A", name, o.namespaceName, o.inContext(), o.program))
	}
	return err
}

// explainHosts says what a refusal to list hosts means.
func (e *environment) explainHosts(err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("hosts are the operators': the right to list baremetalhosts.metal3.io is missing, which the ClusterRole teapot-operator has; your own machines are shown by: %s get claims", e.program)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("Metal3 is not installed in this cluster%s: the kind BareMetalHost is not known to it; docs/hosts.md says what machines need", e.inContext())
	default:
		return err
	}
}
