package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// describeOptions is "describe".
type describeOptions struct {
	*environment
	showEvents bool

	namespaceName string
	names         []string
}

func newDescribeCommand(e *environment) *cobra.Command {
	o := &describeOptions{environment: e}
	cmd := &cobra.Command{
		Use:   "describe NAME... [options]",
		Short: "Show all about control planes, pools or claims, for people",
		Long: e.long(`
			Show what is known of control planes: version, endpoint, whether they sleep and what
			wakes them, what is asked for, every condition with its whole message, the pods with
			their containers, and events.

			Pods and events of the control plane's own namespace are shown to those who may
			list them there, which operators may and tenants may not.`),
		Example: e.examples(`
			# One
			{teapot} describe acme

			# As kubectl has it, and without events
			{teapot} describe tcp acme --show-events=false`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNames(0),
	}
	cmd.Flags().BoolVar(&o.showEvents, "show-events", true, "Show events too")
	cmd.AddCommand(newDescribePoolCommand(e), newDescribeClaimCommand(e))
	return cmd
}

func (o *describeOptions) Complete(cmd *cobra.Command, args []string) error {
	var err error
	if o.names, err = someNames(cmd, args); err != nil {
		return err
	}
	o.namespaceName, _, err = o.namespace()
	return err
}

func (o *describeOptions) Validate() error { return nil }

func (o *describeOptions) Run(ctx context.Context) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	return describeEach(o.Out, o.names, func(name string) (string, error) {
		d, err := o.look(ctx, c, types.NamespacedName{Namespace: o.namespaceName, Name: name})
		if err != nil {
			return "", err
		}
		return d.text(o.clock.Now()), nil
	})
}

// describeEach writes what describe says of each name. Those that it fails for are the error.
func describeEach(out io.Writer, names []string, describe func(name string) (string, error)) error {
	var errs []error
	var texts []string
	for _, name := range names {
		text, err := describe(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		texts = append(texts, text)
	}
	// Messages come from others' programs; none of them may drive the terminal.
	_, err := fmt.Fprint(out, printers.EscapeTerminal(strings.Join(texts, "\n\n")))
	return errors.Join(append(errs, err)...)
}

// look reads what there is to describe. Only without the control plane itself is there
// nothing to show.
func (o *describeOptions) look(ctx context.Context, c client.Client, key types.NamespacedName) (*described, error) {
	d := &described{program: o.program, showEvents: o.showEvents}
	if err := c.Get(ctx, key, &d.tcp); err != nil {
		return nil, err
	}
	d.namespace = ownNamespace(&d.tcp)
	var pods corev1.PodList
	d.podsErr = c.List(ctx, &pods, client.InNamespace(d.namespace))
	d.pods = pods.Items
	if o.showEvents {
		d.events, d.eventsErr = listEvents(ctx, c, client.InNamespace(key.Namespace), eventsAbout(controlPlanes, key.Name))
		d.ownEvents, d.ownEventsErr = listEvents(ctx, c, client.InNamespace(d.namespace))
	}
	return d, nil
}

// ownNamespace is where the pods of a control plane are, or will be.
func ownNamespace(tcp *teapotv1.TenantControlPlane) string {
	if tcp.Status.Namespace != "" {
		return tcp.Status.Namespace
	}
	return controlplane.Namespace(client.ObjectKeyFromObject(tcp))
}

// eventsAbout selects the events that are about an object itself.
func eventsAbout(s subject, name string) client.MatchingFields {
	return client.MatchingFields{"involvedObject.kind": s.kind.Kind, "involvedObject.name": name}
}

// listEvents returns events, the oldest first.
func listEvents(ctx context.Context, c client.Client, opts ...client.ListOption) ([]corev1.Event, error) {
	var list corev1.EventList
	if err := c.List(ctx, &list, opts...); err != nil {
		return nil, err
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return lastSeen(&a).Compare(lastSeen(&b)) })
	return list.Items, nil
}
