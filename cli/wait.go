package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// waitOptions is "wait".
type waitOptions struct {
	*environment
	awaited string
	timeout time.Duration

	goal          goal
	namespaceName string
	names         []string
}

func newWaitCommand(e *environment) *cobra.Command {
	o := &waitOptions{environment: e}
	cmd := &cobra.Command{
		Use:   "wait NAME... [options]",
		Short: "Wait until control planes are ready, or gone",
		Long: e.long(`
			Wait until control planes are ready, are deleted, or have a condition. Each change
			on the way is a line on standard error. The exit code is 1 if time runs out, and
			the message says what was missing.`),
		Example: e.examples(`
			# Until the API answers
			{teapot} wait acme

			# Until etcd has quorum, for at most a minute
			{teapot} wait acme --for=condition=DatastoreReady --timeout=1m

			# Until two are gone
			{teapot} wait acme globex --for=deleted`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNames(0),
	}
	cmd.Flags().StringVar(&o.awaited, "for", "ready", "What to wait for: ready, deleted, condition=TYPE or condition=TYPE=STATUS")
	cmd.Flags().DurationVar(&o.timeout, "timeout", defaultTimeout, "How long to wait")
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{
		"ready", "deleted",
		"condition=" + teapotv1.NamespaceReadyCondition, "condition=" + teapotv1.EndpointReadyCondition,
		"condition=" + teapotv1.CertificatesReadyCondition, "condition=" + teapotv1.DatastoreReadyCondition,
		"condition=" + teapotv1.APIServerReadyCondition, "condition=" + teapotv1.AddonsReadyCondition,
	}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *waitOptions) Complete(cmd *cobra.Command, args []string) error {
	var err error
	if o.names, err = someNames(cmd, args); err != nil {
		return err
	}
	if o.goal, err = parseGoal(o.awaited); err != nil {
		return usageError{err}
	}
	o.namespaceName, _, err = o.namespace()
	return err
}

// parseGoal reads --for.
func parseGoal(text string) (goal, error) {
	kind, rest, _ := strings.Cut(text, "=")
	switch strings.ToLower(kind) {
	case "ready":
		if rest == "" {
			return readyGoal(), nil
		}
	case "deleted", "delete":
		if rest == "" {
			return deletedGoal(""), nil
		}
	case "condition":
		conditionType, value, given := strings.Cut(rest, "=")
		if !given {
			value = string(metav1.ConditionTrue)
		}
		for _, status := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown} {
			if conditionType != "" && strings.EqualFold(value, string(status)) {
				return conditionGoal(conditionType, status), nil
			}
		}
	}
	return goal{}, fmt.Errorf("--for %q: must be ready, deleted, condition=TYPE or condition=TYPE=True|False|Unknown", text)
}

func (o *waitOptions) Validate() error { return validTimeout(o.timeout) }

func (o *waitOptions) Run(ctx context.Context) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	// All at once, so that the time-out is one for all of them.
	errs := make([]error, len(o.names))
	var group sync.WaitGroup
	for i, name := range o.names {
		group.Go(func() { errs[i] = o.waitFor(ctx, c, types.NamespacedName{Namespace: o.namespaceName, Name: name}) })
	}
	group.Wait()
	return errors.Join(errs...)
}

func (o *waitOptions) waitFor(ctx context.Context, c client.WithWatch, key types.NamespacedName) error {
	// A name that does not exist is a mistake at once and not after the time-out, unless
	// it is its end that is waited for.
	var tcp teapotv1.TenantControlPlane
	err := c.Get(ctx, key, &tcp)
	goal := o.goal
	switch {
	case goal.deletion && isNotFound(err):
		err = nil
	case err != nil:
	default:
		if goal.deletion {
			goal = deletedGoal(tcp.UID)
		}
		_, err = o.await(ctx, c, key, goal, o.timeout)
	}
	if err != nil {
		return err
	}
	return o.resultf("%s.%s/%s condition met", controlPlaneWord, controlPlaneResource.Group, key.Name)
}
