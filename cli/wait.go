package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	subject subject
	awaited string
	timeout time.Duration

	goal          goal
	namespaceName string
	names         []string
}

func newWaitCommand(e *environment) *cobra.Command {
	o := &waitOptions{environment: e, subject: controlPlanes}
	cmd := &cobra.Command{
		Use:   "wait NAME... [options]",
		Short: "Wait until control planes or pools are ready, or gone",
		Long: e.long(`
			Wait until control planes are ready, asleep or awake, are deleted, or have a condition.
			Each change on the way is a line on standard error. The exit code is 1 if time runs
			out, and the message says what was missing.

			Waiting wakes nothing: of a control plane that sleeps, the first line says so, and how
			it is woken.`),
		Example: e.examples(`
			# Until the API answers
			{teapot} wait acme

			# Until etcd has quorum, for at most a minute
			{teapot} wait acme --for=condition=DatastoreReady --timeout=1m

			# Until nothing of it runs, since it hibernates
			{teapot} wait acme --for=asleep

			# Until two are gone
			{teapot} wait acme globex --for=deleted`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNames(0),
	}
	o.addFlags(cmd, defaultTimeout, teapotv1.NamespaceReadyCondition, teapotv1.EndpointReadyCondition, teapotv1.CertificatesReadyCondition,
		teapotv1.DatastoreReadyCondition, teapotv1.APIServerReadyCondition, teapotv1.AddonsReadyCondition)
	cmd.AddCommand(newWaitPoolCommand(e))
	return cmd
}

// newWaitPoolCommand is "wait pool".
func newWaitPoolCommand(e *environment) *cobra.Command {
	o := &waitOptions{environment: e, subject: workerPools}
	cmd := &cobra.Command{
		Use:     "pool NAME... [options]",
		Aliases: poolWords,
		Short:   "Wait until pools of machines are ready, or gone",
		Long: e.long(`
			Wait until WorkerPools are ready, which is when all machines that are wanted are
			there, up to date and available; or until they are deleted, or have a condition.`),
		Example: e.examples(`
			# Until all machines are ready
			{teapot} wait pool web

			# Until a change of the pool was passed on to Cluster API
			{teapot} wait pool web --for=condition=Applied --timeout=1m`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNamesOf(workerPools, 0),
	}
	o.addFlags(cmd, poolTimeout, teapotv1.AppliedCondition)
	return cmd
}

// addFlags adds the flags. timeout is how long it waits unless told otherwise; conditions are
// offered for completion.
func (o *waitOptions) addFlags(cmd *cobra.Command, timeout time.Duration, conditions ...string) {
	cmd.Flags().StringVar(&o.awaited, "for", "ready", "What to wait for: "+strings.Join(o.goals(), ", ")+", condition=TYPE or condition=TYPE=STATUS")
	cmd.Flags().DurationVar(&o.timeout, "timeout", timeout, "How long to wait")
	offered := o.goals()
	for _, condition := range conditions {
		offered = append(offered, "condition="+condition)
	}
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(offered, cobra.ShellCompDirectiveNoFileComp))
}

func (o *waitOptions) Complete(cmd *cobra.Command, args []string) error {
	var err error
	if o.names, err = o.subject.someNames(cmd, args); err != nil {
		return err
	}
	if o.goal, err = o.parseGoal(o.awaited); err != nil {
		return usageError{err}
	}
	o.namespaceName, _, err = o.namespace()
	return err
}

// goals are the values of --for that are one word.
func (o *waitOptions) goals() []string {
	if o.subject.kind == controlPlaneKind {
		return []string{"ready", "asleep", "awake", "deleted"}
	}
	return []string{"ready", "deleted"}
}

// parseGoal reads --for.
func (o *waitOptions) parseGoal(text string) (goal, error) {
	kind, rest, _ := strings.Cut(text, "=")
	switch kind = strings.ToLower(kind); {
	case kind == "delete" && rest == "":
		return deletedGoal(""), nil
	case slices.Contains(o.goals(), kind) && rest == "":
		return map[string]func() goal{
			"ready": readyGoal, "asleep": asleepGoal, "awake": awakeGoal, "deleted": func() goal { return deletedGoal("") },
		}[kind](), nil
	case kind == "condition":
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
	return goal{}, fmt.Errorf("--for %q: must be %s, condition=TYPE or condition=TYPE=True|False|Unknown", text, strings.Join(o.goals(), ", "))
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
	object := o.subject.newObject()
	err := c.Get(ctx, key, object)
	goal := o.goal
	switch {
	case goal.deletion && isNotFound(err):
		err = nil
	case err != nil:
	default:
		if goal.deletion {
			goal = deletedGoal(object.GetUID())
		}
		_, err = o.await(ctx, c, o.subject, key, goal, o.timeout)
	}
	if err != nil {
		return err
	}
	return o.resultf("%s condition met", o.subject.named(key.Name))
}
