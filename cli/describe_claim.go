package cli

import (
	"context"
	"fmt"
	"slices"

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
	kept := func(o host.Object) bool { h := host.Of(&o); return h.KeptFor().Namespace == of.Namespace }
	namespace := &corev1.Namespace{}
	if host.AskForLabels(policies.Items) || slices.ContainsFunc(hosts.Items, kept) {
		if err := c.Get(ctx, types.NamespacedName{Name: of.Namespace}, namespace); err != nil {
			return nil, claim.Choice{}, fmt.Errorf("reading namespace %s, at which a HostDeployPolicy or a host that is not clean looks: %w", of.Namespace, err)
		}
	}
	tenant := host.Tenant{Namespace: of.Namespace, UID: namespace.UID}
	request, err := claim.NewRequest(of, tenant.UID)
	if err != nil {
		return nil, claim.Choice{}, err
	}
	pool := claim.Pool{Namespaces: host.Namespaces(policies.Items, of.Namespace, namespace.Labels)}
	for i := range hosts.Items {
		if h := host.Of(&hosts.Items[i]); pool.Namespaces.Has(h.Key.Namespace) {
			pool.Hosts = append(pool.Hosts, h)
		}
	}
	if err := addSiblings(ctx, c, of, tenant, &pool); err != nil {
		return nil, claim.Choice{}, err
	}
	found := make([]candidate, len(pool.Hosts))
	for i, h := range pool.Hosts {
		found[i] = candidate{host: h, refusal: request.Refuses(&h)}
		if found[i].refusal == host.Claimable && request.Admits(&h, pool) == claim.Full {
			found[i].refusal = claim.FullDomain
		}
	}
	return found, request.Choose(pool), nil
}

// addSiblings adds the hosts of the other claims of the same group.
func addSiblings(ctx context.Context, c client.Client, of *teapotv1.MachineClaim, tenant host.Tenant, pool *claim.Pool) error {
	siblings, group := &teapotv1.MachineClaimList{}, claim.GroupOf(of)
	if err := c.List(ctx, siblings, client.InNamespace(of.Namespace), client.MatchingLabelsSelector{Selector: group.Selector()}); err != nil {
		return fmt.Errorf("listing the claims of namespace %s, from which this one is to be kept apart: %w", of.Namespace, err)
	}
	for i := range siblings.Items {
		sibling := &siblings.Items[i]
		name, named := claim.HostOf(sibling)
		at := slices.IndexFunc(pool.Hosts, func(h host.Host) bool { return h.Key == name })
		if !named || at < 0 || sibling.Name == of.Name || claim.GroupOf(sibling) != group {
			continue
		}
		if claim.StandingOf(sibling, &pool.Hosts[at], tenant) != claim.Nothing {
			pool.Siblings.Add(name, false)
		}
	}
	return nil
}
