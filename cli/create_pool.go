package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// poolTimeout is how long commands wait for machines unless told otherwise: to be written and booted,
// or drained and cleaned, takes a machine minutes, and pods may take ten to leave it.
const poolTimeout = 30 * time.Minute

// maxPoolName is the longest name of a pool that the schema takes, in characters.
const maxPoolName = 40

// poolWords are other words for pool on a command line.
var poolWords = []string{"pool", "pools", workerPools.short, workerPools.word, workerPools.resource.Resource}

// createPoolOptions is "create pool".
type createPoolOptions struct {
	creation
	spec poolFlags
}

func newCreatePoolCommand(e *environment) *cobra.Command {
	o := &createPoolOptions{creation: newCreation(e, workerPools)}
	cmd := &cobra.Command{
		Use:     "pool NAME [options]",
		Aliases: poolWords,
		Short:   "Create a WorkerPool: machines of a control plane",
		Long: e.long(`
			Create a WorkerPool: a number of machines that join a control plane, as many as
			asked for, or as the Cluster Autoscaler wants between two bounds.

			Only what a flag asks for is in the manifest; all else is the defaults of the
			schema, which "kubectl explain wp.spec" lists. The control plane may be left out
			where there is one alone. The version is the control plane's unless given, and must
			be the one that the image has.`),
		Example: e.examples(`
			# Three machines, and wait until they are ready
			{teapot} create pool web --control-plane acme --replicas 3 --image oci://registry.example.com/node:v1.36.3 --wait

			# Between one and five, as the Cluster Autoscaler decides, with GPUs
			{teapot} create pool gpu --min 1 --max 5 --gpus 8 --gpu-model H100 --image oci://registry.example.com/node:v1.36.3

			# At most two in one rack, tainted, replaced with one to spare
			{teapot} create pool db --replicas 6 --image oci://registry.example.com/node:v1.36.3 --max-per-domain example.com/rack=2 --taint dedicated=db:NoSchedule --max-surge 1

			# The manifest, to keep in git
			{teapot} create pool web --control-plane acme --version v1.36.3 --replicas 3 --image oci://registry.example.com/node:v1.36.3 --dry-run -o yaml > web.yaml`),
		RunE:              e.run(o),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.spec.addFlags(cmd)
	o.addFlags(cmd, poolTimeout)
	_ = cmd.RegisterFlagCompletionFunc("control-plane", e.completeFlag(controlPlanes))
	return cmd
}

func (o *createPoolOptions) Complete(cmd *cobra.Command, args []string) error {
	spec, err := o.spec.spec(cmd.Flags())
	if err != nil {
		return usageError{err}
	}
	if err := o.complete(cmd, args, spec); err != nil {
		return err
	}
	if problems := validation.IsDNS1123Label(o.key.Name); len(problems) > 0 || len(o.key.Name) > maxPoolName {
		return usagef("name %q: must be a DNS label (a-z, 0-9 and '-') of at most %d characters, since the names of machines are made from it", o.key.Name, maxPoolName)
	}
	return nil
}

func (o *createPoolOptions) Validate() error {
	if o.dryRun == dryRunClient {
		for _, flag := range []struct{ name, value string }{{"control-plane", o.spec.controlPlane}, {"version", o.spec.version}} {
			if flag.value == "" {
				return fmt.Errorf("--%s is missing: with --dry-run=client the API server is not asked for the control plane; give it, or use --dry-run=server", flag.name)
			}
		}
	}
	return o.creation.Validate()
}

func (o *createPoolOptions) Run(ctx context.Context) error {
	if o.spec.controlPlane == "" || o.spec.version == "" {
		c, err := o.client()
		if err != nil {
			return err
		}
		tcp, err := o.controlPlane(ctx, c)
		if err != nil {
			return err
		}
		fields := map[string]string{"controlPlaneName": tcp.Name}
		if o.spec.version == "" {
			fields["version"] = tcp.Spec.Version
		}
		for name, value := range fields {
			if err := unstructured.SetNestedField(o.manifest.Object, value, "spec", name); err != nil {
				return err
			}
		}
	}
	return o.creation.Run(ctx)
}

// controlPlane is the one that was named, or else the only one of the namespace.
func (o *createPoolOptions) controlPlane(ctx context.Context, c client.Client) (*teapotv1.TenantControlPlane, error) {
	if o.spec.controlPlane != "" {
		tcp := &teapotv1.TenantControlPlane{}
		return tcp, c.Get(ctx, types.NamespacedName{Namespace: o.key.Namespace, Name: o.spec.controlPlane}, tcp)
	}
	list := &teapotv1.TenantControlPlaneList{}
	if err := c.List(ctx, list, client.InNamespace(o.key.Namespace)); err != nil {
		return nil, err
	}
	switch len(list.Items) {
	case 0:
		return nil, usagef("--control-plane is missing, and there is none in namespace %q; make one with: %s create tcp NAME -n %s",
			o.key.Namespace, o.program, o.key.Namespace)
	case 1:
		return &list.Items[0], nil
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	slices.Sort(names)
	return nil, usagef("--control-plane is missing, and there are %d in namespace %q: %s", len(names), o.key.Namespace, strings.Join(names, ", "))
}
