package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// resumeTimeout is how long "resume --wait" waits unless told otherwise: machines that were switched off
// may take ten minutes to boot (bootPatience in controllers/tenantcontrolplane/wake.go), and the
// control plane is waking until then.
const resumeTimeout = 15 * time.Minute

// hibernatedWorkers are the values of --workers.
var hibernatedWorkers = []string{
	string(teapotv1.HibernatedWorkersRelease), string(teapotv1.HibernatedWorkersPowerOff), string(teapotv1.HibernatedWorkersKeep),
}

// hibernateOptions is "hibernate" and "resume".
type hibernateOptions struct {
	*environment
	// phase is Asleep or Awake: what is asked for.
	phase     teapotv1.HibernationPhase
	flags     *pflag.FlagSet
	idleAfter time.Duration
	workers   string
	wait      bool
	timeout   time.Duration

	key types.NamespacedName
}

func newHibernateCommand(e *environment) *cobra.Command {
	o := &hibernateOptions{environment: e, phase: teapotv1.HibernationAsleep}
	cmd := &cobra.Command{
		Use:   "hibernate NAME [options]",
		Short: "Put a control plane to sleep: no pods, no hosts",
		Long: e.long(`
			Put a control plane to sleep now: its machines are given back, or what --workers says,
			and then its pods end. What is in its cluster stays, and so do its addresses, names and
			kubeconfigs.

			This sets spec.hibernation.enabled. Until "{teapot} resume" no schedule wakes it. A
			user's request does, if spec.hibernation.idleAfter is set (--idle-after) and users come
			through the gateway, as "{teapot} kubeconfig" has them come. It sleeps again when nobody
			has used it for that long.`),
		Example: e.examples(`
			# Put it to sleep, and wait until nothing of it runs
			{teapot} hibernate acme --wait

			# And from now on whenever nobody has used it for an hour; the next kubectl wakes it
			{teapot} hibernate acme --idle-after 1h

			# Its machines are switched off, and not given to others
			{teapot} hibernate acme --workers PowerOff`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNames(1),
	}
	o.flags = cmd.Flags()
	o.flags.SortFlags = false
	o.flags.DurationVar(&o.idleAfter, "idle-after", 0, "Set spec.hibernation.idleAfter too: after this `DURATION` without use it sleeps by itself, and a request wakes it")
	o.flags.StringVar(&o.workers, "workers", "", "Set spec.hibernation.workers too, what becomes of the machines, a `POLICY`: Release, PowerOff or Keep (default Release)")
	o.flags.BoolVar(&o.wait, "wait", false, "Wait until nothing of it runs")
	o.flags.DurationVar(&o.timeout, "timeout", defaultTimeout, "How long --wait waits")
	_ = cmd.RegisterFlagCompletionFunc("workers", cobra.FixedCompletions(hibernatedWorkers, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("idle-after", cobra.FixedCompletions([]string{"30m", "1h", "12h"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func newResumeCommand(e *environment) *cobra.Command {
	o := &hibernateOptions{environment: e, phase: teapotv1.HibernationAwake}
	cmd := &cobra.Command{
		Use:   "resume NAME [options]",
		Short: "Wake a control plane that sleeps",
		Long: e.long(`
			Wake a control plane, whatever put it to sleep: "{teapot} hibernate", a schedule, or
			that nobody used it. Its API answers in seconds; machines that were given back are
			made anew, on any hosts that fit.

			This sets spec.hibernation.enabled to false. Schedules and idleAfter count again from
			now on. It has nothing to do with spec.paused, which stops Teapot from looking after
			a control plane, asleep or awake.`),
		Example: e.examples(`
			# Wake it, and wait until it is Ready
			{teapot} resume acme --wait`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNames(1),
	}
	o.flags = cmd.Flags()
	o.flags.SortFlags = false
	o.flags.BoolVar(&o.wait, "wait", false, "Wait until it is Ready")
	o.flags.DurationVar(&o.timeout, "timeout", resumeTimeout, "How long --wait waits")
	return cmd
}

func (o *hibernateOptions) Complete(cmd *cobra.Command, args []string) error {
	name, err := oneName(cmd, args)
	if err != nil {
		return err
	}
	namespace, _, err := o.namespace()
	o.key = types.NamespacedName{Namespace: namespace, Name: name}
	return err
}

func (o *hibernateOptions) Validate() error {
	workers, err := oneOf("--workers", o.workers, hibernatedWorkers)
	if err != nil {
		return err
	}
	o.workers = workers
	return validTimeout(o.timeout)
}

func (o *hibernateOptions) Run(ctx context.Context) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	tcp := &teapotv1.TenantControlPlane{}
	if err := c.Get(ctx, o.key, tcp); err != nil {
		return err
	}
	if tcp.DeletionTimestamp != nil {
		return fmt.Errorf("%s %q in namespace %q is being deleted: it stays as it is until it is gone", controlPlaneWord, o.key.Name, o.key.Namespace)
	}
	outcome := o.outcome(tcp)
	started := o.clock.Now()
	// Nothing has ever asked it to sleep: there is nothing to take back.
	if o.asleep() || tcp.Spec.Hibernation != nil {
		if err := o.patch(ctx, c, tcp); err != nil {
			return err
		}
	}
	if err := o.resultf("%s %s", controlPlanes.named(o.key.Name), outcome); err != nil {
		return err
	}
	if o.asleep() {
		o.tellWaking(tcp)
	}
	if err := o.paused(tcp); err != nil {
		if o.wait {
			return err
		}
		o.notef("%s: %v", o.key.Name, err)
	}
	if !o.wait {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	goal, reached := awakeGoal(), "awake and Ready"
	if o.asleep() {
		goal, reached = asleepGoal(), "asleep"
	}
	if _, err := o.await(ctx, c, controlPlanes, o.key, goal, o.timeout); err != nil {
		return err
	}
	return o.resultf("%s %s after %s", controlPlanes.named(o.key.Name), reached, o.clock.Since(started).Round(100*time.Millisecond))
}

func (o *hibernateOptions) asleep() bool { return o.phase == teapotv1.HibernationAsleep }

// patch writes what is asked for, and when, without looking at what was: two that ask at the same time
// both mean it, and the later time counts.
func (o *hibernateOptions) patch(ctx context.Context, c client.Client, tcp *teapotv1.TenantControlPlane) error {
	hibernation := map[string]any{"enabled": o.asleep()}
	if o.flags.Changed("idle-after") {
		hibernation["idleAfter"] = o.idleAfter.String()
	}
	if o.workers != "" {
		hibernation["workers"] = o.workers
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{
			// It is the one that was looked at, and not a new one of the same name.
			"uid":         tcp.UID,
			"annotations": map[string]any{teapotv1.HibernationRequestedAtAnnotation: o.clock.Now().UTC().Format(time.RFC3339)},
		},
		"spec": map[string]any{"hibernation": hibernation},
	})
	if err != nil {
		return err
	}
	// Strict: a Teapot that knows no hibernation must not say that it is done.
	err = c.Patch(ctx, tcp, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(programName), client.FieldValidation(metav1.FieldValidationStrict))
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("you may not change spec.hibernation of %s %q in namespace %q; the ClusterRole teapot-tenant-edit, bound in that namespace, has the right: %w",
			controlPlaneWord, o.key.Name, o.key.Namespace, err)
	}
	return err
}

// outcome is what the result says, by what was before.
func (o *hibernateOptions) outcome(before *teapotv1.TenantControlPlane) string {
	spec := before.Spec.Hibernation
	asked := spec != nil && ptr.Deref(spec.Enabled, false)
	changes := asked != o.asleep() || o.workers != "" || o.flags.Changed("idle-after")
	phase := teapotv1.HibernationAwake
	if status := before.Status.Hibernation; status != nil {
		phase = status.Phase
	}
	switch {
	case spec == nil && !o.asleep() && (phase == teapotv1.HibernationAsleep || phase == teapotv1.HibernationHibernating):
		return "wakes by itself: spec.hibernation is not set any more"
	case !changes && phase == o.phase && o.asleep():
		return "sleeps already"
	case !changes && phase == o.phase:
		return "is awake already"
	case !changes && phase == teapotv1.HibernationHibernating && o.asleep():
		return "is going to sleep already"
	case !changes && phase == teapotv1.HibernationWaking && !o.asleep():
		return "is waking already"
	case o.asleep():
		return "asked to hibernate"
	default:
		return "asked to resume"
	}
}

// tellWaking says what will wake the control plane.
func (o *hibernateOptions) tellWaking(tcp *teapotv1.TenantControlPlane) {
	resume := fmt.Sprintf("%s resume %s -n %s", o.program, o.key.Name, o.key.Namespace)
	why := noRequestWakes(tcp)
	switch {
	case why == "":
		o.notef("%s: a user's request wakes it, and so does: %s", o.key.Name, resume)
	case tcp.Spec.Hibernation.IdleAfter == nil:
		o.notef("%s: no request wakes it, since %s (--idle-after sets it); wake it with: %s", o.key.Name, why, resume)
	default:
		o.notef("%s: no request wakes it, since %s; wake it with: %s", o.key.Name, why, resume)
	}
	if len(tcp.Spec.Hibernation.Schedules) > 0 {
		o.notef("%s: its schedules count again after that (spec.hibernation.enabled is true until then)", o.key.Name)
	}
}

// paused is the error for a control plane that Teapot leaves alone.
func (o *hibernateOptions) paused(tcp *teapotv1.TenantControlPlane) error {
	if !tcp.Spec.Paused {
		return nil
	}
	verb := "resume"
	if o.asleep() {
		verb = "hibernate"
	}
	return fmt.Errorf("%s %q in namespace %q has spec.paused: true, which stops Teapot from doing anything about it; that it is to %s is noted, and done when it is paused no more.\n"+
		`"%s resume" does not change spec.paused; this does: kubectl patch tcp %s -n %s --type merge -p '{"spec":{"paused":false}}'`,
		controlPlaneWord, o.key.Name, o.key.Namespace, verb, o.program, o.key.Name, o.key.Namespace)
}
