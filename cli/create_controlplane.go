package cli

import (
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
)

// createOptions is "create tcp".
type createOptions struct {
	creation
	spec specFlags
}

func newCreateControlPlaneCommand(e *environment) *cobra.Command {
	o := &createOptions{creation: newCreation(e, controlPlanes)}
	cmd := &cobra.Command{
		Use:     "tcp NAME [options]",
		Aliases: []string{controlPlaneWord, controlPlaneResource.Resource},
		Short:   "Create a TenantControlPlane",
		Long: e.long(`
			Create a TenantControlPlane: a Kubernetes control plane that runs as pods of the
			management cluster.

			Only what a flag asks for is in the manifest; all else is the defaults of the
			schema, which "kubectl explain tcp.spec" lists.`),
		Example: e.examples(`
			# A control plane with one replica and one etcd member, and wait until it answers
			{teapot} create tcp acme --wait

			# Highly available: three replicas, three etcd members
			{teapot} create tcp acme --replicas 3 --etcd-members 3

			# Behind a load balancer, known by a name
			{teapot} create tcp acme --endpoint-type LoadBalancer --host api.acme.example.com

			# In a sandbox, its data kept when it is deleted
			{teapot} create tcp acme --runtime-class kata --deletion-policy Retain

			# Asleep whenever nobody has used it for an hour; the next kubectl wakes it
			{teapot} create tcp acme --idle-after 1h

			# More for the API server, a bound for etcd
			{teapot} create tcp acme --requests kube-apiserver=cpu=500m,memory=1Gi --limits etcd=memory=2Gi

			# The manifest, to keep in git
			{teapot} create tcp acme --replicas 2 --dry-run -o yaml > acme.yaml`),
		RunE:              e.run(o),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.spec.addFlags(cmd)
	o.addFlags(cmd, defaultTimeout)
	return cmd
}

func (o *createOptions) Complete(cmd *cobra.Command, args []string) error {
	spec, err := o.spec.spec(cmd.Flags())
	if err != nil {
		return usageError{err}
	}
	if err := o.complete(cmd, args, spec); err != nil {
		return err
	}
	if problems := validation.IsDNS1123Label(o.key.Name); len(problems) > 0 {
		return usagef("name %q: must be a DNS label (a-z, 0-9 and '-'), since host names are made from it", o.key.Name)
	}
	if o.spec.hibernated {
		o.goal = asleepGoal()
	}
	if labels := o.spec.labels; len(labels) > 0 {
		o.manifest.SetLabels(labels)
	}
	return nil
}
