package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

func newScaleCommand(e *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scale",
		Short: "Change how many machines a pool has",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("what to scale is missing: %s scale pool NAME --replicas N", e.program)
			}
			return usagef("unknown kind %q: %s scale pool NAME --replicas N", args[0], e.program)
		},
	}
	cmd.AddCommand(newScalePoolCommand(e))
	return cmd
}

// scaleOptions is "scale pool".
type scaleOptions struct {
	*environment
	flags              *pflag.FlagSet
	replicas, min, max int32
	wait               bool
	timeout            time.Duration

	key types.NamespacedName
}

func newScalePoolCommand(e *environment) *cobra.Command {
	o := &scaleOptions{environment: e}
	cmd := &cobra.Command{
		Use:     "pool NAME (--replicas N | --min N --max N) [options]",
		Aliases: poolWords,
		Short:   "Change how many machines a WorkerPool has",
		Long: e.long(`
			Change the number of machines of a WorkerPool, or, of a pool whose number the
			Cluster Autoscaler decides, the bounds.

			Machines that go are drained first, and their hosts cleaned.`),
		Example: e.examples(`
			# Five machines, and wait until all are ready
			{teapot} scale pool web --replicas 5 --wait

			# Let the Cluster Autoscaler go up to twenty
			{teapot} scale pool gpu --max 20`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNamesOf(workerPools, 1),
	}
	o.flags = cmd.Flags()
	o.flags.SortFlags = false
	o.flags.Int32Var(&o.replicas, "replicas", 0, "Number `N` of machines")
	o.flags.Int32Var(&o.min, "min", 0, "Least number `N` of machines, where the Cluster Autoscaler decides")
	o.flags.Int32Var(&o.max, "max", 0, "Greatest number `N` of machines, where the Cluster Autoscaler decides")
	o.flags.BoolVar(&o.wait, "wait", false, "Wait until the pool is Ready with them")
	o.flags.DurationVar(&o.timeout, "timeout", poolTimeout, "How long --wait waits")
	return cmd
}

func (o *scaleOptions) Complete(cmd *cobra.Command, args []string) error {
	name, err := workerPools.oneName(cmd, args)
	if err != nil {
		return err
	}
	namespace, _, err := o.namespace()
	o.key = types.NamespacedName{Namespace: namespace, Name: name}
	return err
}

func (o *scaleOptions) Validate() error {
	number, bounds := o.flags.Changed("replicas"), o.flags.Changed("min") || o.flags.Changed("max")
	switch {
	case number && bounds:
		return errors.New("--replicas excludes --min and --max: a pool has a number of machines, or bounds within which the Cluster Autoscaler decides")
	case !number && !bounds:
		return errors.New("the number of machines is missing: --replicas N, or --min N or --max N for the Cluster Autoscaler")
	}
	for _, flag := range []struct {
		name  string
		value int32
	}{{"replicas", o.replicas}, {"min", o.min}, {"max", o.max}} {
		if flag.value < 0 {
			return fmt.Errorf("--%s %d: must not be negative", flag.name, flag.value)
		}
	}
	return validTimeout(o.timeout)
}

func (o *scaleOptions) Run(ctx context.Context) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	// What is changed is what was looked at: with the version as precondition no number is written
	// to a pool that was given to the autoscaler in between.
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		pool := &teapotv1.WorkerPool{}
		if err := c.Get(ctx, o.key, pool); err != nil {
			return err
		}
		seen := pool.DeepCopy()
		if err := o.scale(pool); err != nil {
			return err
		}
		return c.Patch(ctx, pool, client.MergeFromWithOptions(seen, client.MergeFromWithOptimisticLock{}), client.FieldOwner(programName))
	})
	if err != nil {
		return err
	}
	if err := o.resultf("%s scaled", workerPools.named(o.key.Name)); err != nil || !o.wait {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	_, err = o.await(ctx, c, workerPools, o.key, readyGoal(), o.timeout)
	return err
}

// scale changes a pool as the flags say.
func (o *scaleOptions) scale(pool *teapotv1.WorkerPool) error {
	bounds := pool.Spec.Autoscaling
	switch {
	case pool.DeletionTimestamp != nil:
		return fmt.Errorf("%s %q in namespace %q is being deleted, and its machines with it", workerPools.word, pool.Name, pool.Namespace)
	case o.flags.Changed("replicas") && bounds != nil:
		return fmt.Errorf("the Cluster Autoscaler decides the number of machines of %s %q, between %d and %d\n"+
			"Change the bounds with: %s scale pool %s -n %s --min N --max N\n"+
			`Or take the decision from it with: kubectl patch wp %s -n %s --type merge -p '{"spec":{"autoscaling":null,"replicas":%d}}'`,
			workerPools.word, pool.Name, bounds.MinReplicas, bounds.MaxReplicas, o.program, pool.Name, pool.Namespace, pool.Name, pool.Namespace, o.replicas)
	case o.flags.Changed("replicas"):
		pool.Spec.Replicas = &o.replicas
		return nil
	case bounds == nil:
		return fmt.Errorf("%s %q has a number of machines, and no bounds: the Cluster Autoscaler does not decide it\n"+
			"Change the number with: %s scale pool %s -n %s --replicas N\n"+
			`Or leave it to the autoscaler with: kubectl patch wp %s -n %s --type merge -p '{"spec":{"replicas":null,"autoscaling":{"minReplicas":%d,"maxReplicas":%d}}}'`,
			workerPools.word, pool.Name, o.program, pool.Name, pool.Namespace, pool.Name, pool.Namespace, o.min, max(o.max, o.min, 1))
	}
	if o.flags.Changed("min") {
		bounds.MinReplicas = o.min
	}
	if o.flags.Changed("max") {
		bounds.MaxReplicas = o.max
	}
	return nil
}
