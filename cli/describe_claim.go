package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

// describeClaimOptions is "describe claim".
type describeClaimOptions struct {
	*environment
	showEvents bool

	namespaceName string
	names         []string
}

func newDescribeClaimCommand(e *environment) *cobra.Command {
	o := &describeClaimOptions{environment: e}
	cmd := &cobra.Command{
		Use:     "claim NAME... [options]",
		Aliases: []string{"claims", machineClaims.resource.Resource, machineClaims.word, machineClaims.short},
		Short:   "Show all about claims of machines, for people",
		Long: e.long(`
			Show what is known of MachineClaims: the host, how far it is and for how long, why
			none fits, every condition with its whole message, what to do, and events.

			Why each single host does not fit is shown to those who may list hosts, which
			operators may and tenants may not. To others the conditions count the reasons.`),
		Example: e.examples(`
			# One
			{teapot} describe claim web-1`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNamesOf(machineClaims, 0),
	}
	cmd.Flags().BoolVar(&o.showEvents, "show-events", true, "Show events too")
	return cmd
}

func (o *describeClaimOptions) Complete(cmd *cobra.Command, args []string) error {
	var err error
	if o.names, err = machineClaims.someNames(cmd, args); err != nil {
		return err
	}
	o.namespaceName, _, err = o.namespace()
	return err
}

func (o *describeClaimOptions) Validate() error { return nil }

func (o *describeClaimOptions) Run(ctx context.Context) error {
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

// look reads what there is to describe. Only without the claim itself is there nothing to show.
func (o *describeClaimOptions) look(ctx context.Context, c client.Client, key types.NamespacedName) (*describedClaim, error) {
	d := &describedClaim{program: o.program, showEvents: o.showEvents}
	if err := c.Get(ctx, key, &d.claim); err != nil {
		return nil, err
	}
	if d.looksForHost() {
		d.candidates, d.choice, d.hostsErr = o.candidates(ctx, c, &d.claim)
	}
	if o.showEvents {
		d.events, d.eventsErr = listEvents(ctx, c, client.InNamespace(key.Namespace), eventsAbout(machineClaims, key.Name))
	}
	return d, nil
}

// candidates are the hosts that the claim's namespace may take, each with the reason for which this
// claim does not, and what the manager would choose now.
func (o *describeClaimOptions) candidates(ctx context.Context, c client.Client, of *teapotv1.MachineClaim) ([]candidate, claim.Choice, error) {
	hosts, policies := &host.List{}, &host.PolicyList{}
	if err := c.List(ctx, hosts); err != nil {
		return nil, claim.Choice{}, o.explainHosts(err)
	}
	if err := c.List(ctx, policies); err != nil {
		return nil, claim.Choice{}, fmt.Errorf("listing HostDeployPolicies: %w", err)
	}
	namespace := &corev1.Namespace{}
	if host.AskForLabels(policies.Items) {
		if err := c.Get(ctx, types.NamespacedName{Name: of.Namespace}, namespace); err != nil {
			return nil, claim.Choice{}, fmt.Errorf("reading namespace %s, at whose labels a HostDeployPolicy looks: %w", of.Namespace, err)
		}
	}
	request, err := claim.NewRequest(of)
	if err != nil {
		return nil, claim.Choice{}, err
	}
	pool := claim.Pool{Namespaces: host.Namespaces(policies.Items, of.Namespace, namespace.Labels)}
	var found []candidate
	for i := range hosts.Items {
		h := host.Of(&hosts.Items[i])
		if !pool.Namespaces.Has(h.Key.Namespace) {
			continue
		}
		pool.Hosts = append(pool.Hosts, h)
		found = append(found, candidate{host: h, refusal: request.Refuses(&h)})
	}
	return found, request.Choose(pool), nil
}
