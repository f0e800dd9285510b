package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Values of --dry-run.
const (
	dryRunNone   = "none"
	dryRunClient = "client"
	dryRunServer = "server"
)

// defaultTimeout is how long commands wait unless told otherwise. A control plane is up
// within seconds; minutes go by where images are pulled or a load balancer is made.
const defaultTimeout = 5 * time.Minute

func newCreateCommand(e *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a control plane",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("what to create is missing: %s create tcp NAME", e.program)
			}
			return usagef("unknown kind %q: %s create tcp NAME", args[0], e.program)
		},
	}
	cmd.AddCommand(newCreateControlPlaneCommand(e))
	return cmd
}

// createOptions is "create tcp".
type createOptions struct {
	*environment
	spec       specFlags
	printFlags *genericclioptions.PrintFlags
	dryRun     string
	wait       bool
	timeout    time.Duration

	key      types.NamespacedName
	manifest *unstructured.Unstructured
	printer  printers.ResourcePrinter
}

func newCreateControlPlaneCommand(e *environment) *cobra.Command {
	o := &createOptions{environment: e, printFlags: genericclioptions.NewPrintFlags("created")}
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

			# More for the API server, a bound for etcd
			{teapot} create tcp acme --requests kube-apiserver=cpu=500m,memory=1Gi --limits etcd=memory=2Gi

			# The manifest, to keep in git
			{teapot} create tcp acme --replicas 2 --dry-run -o yaml > acme.yaml`),
		RunE:              e.run(o),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	o.spec.addFlags(cmd)
	flags.StringVar(&o.dryRun, "dry-run", dryRunNone, `"client" only prints what would be sent; "server" has the API server check it, and keeps nothing`)
	flags.Lookup("dry-run").NoOptDefVal = dryRunClient
	flags.BoolVar(&o.wait, "wait", false, "Wait until the control plane is Ready")
	flags.DurationVar(&o.timeout, "timeout", defaultTimeout, "How long --wait waits")
	o.printFlags.AddFlags(cmd)
	tidyOutputFlags(cmd, "Output `FORMAT`: json, yaml, name, jsonpath=... or go-template=...")
	_ = cmd.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{dryRunNone, dryRunClient, dryRunServer}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *createOptions) Complete(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("create takes the name of one control plane, not %d: %s", len(args), cmd.UseLine())
	}
	namespace, explicit, err := o.namespace()
	if err != nil {
		return err
	}
	if problems := validation.IsDNS1123Label(args[0]); len(problems) > 0 {
		return usagef("name %q: must be a DNS label (a-z, 0-9 and '-'), since host names are made from it", args[0])
	}
	o.key = types.NamespacedName{Namespace: namespace, Name: args[0]}
	spec, err := o.spec.spec(cmd.Flags())
	if err != nil {
		return usageError{err}
	}
	o.manifest = &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{}, "spec": spec}}
	o.manifest.SetGroupVersionKind(controlPlaneKind)
	o.manifest.SetName(o.key.Name)
	if labels := o.spec.labels; len(labels) > 0 {
		o.manifest.SetLabels(labels)
	}
	// A manifest that was only printed fits any namespace, unless one was asked for.
	if explicit || o.dryRun != dryRunClient {
		o.manifest.SetNamespace(namespace)
	}
	if o.dryRun == dryRunClient || o.dryRun == dryRunServer {
		if err := o.printFlags.Complete("%s (" + o.dryRun + " dry run)"); err != nil {
			return err
		}
	}
	o.printer, err = o.printFlags.ToPrinter()
	return err
}

func (o *createOptions) Validate() error {
	switch {
	case o.dryRun != dryRunNone && o.dryRun != dryRunClient && o.dryRun != dryRunServer:
		return fmt.Errorf("--dry-run %q: must be none, client or server", o.dryRun)
	case o.wait && o.dryRun != dryRunNone:
		return errors.New("--wait and --dry-run exclude each other: nothing is created that one could wait for")
	}
	return validTimeout(o.timeout)
}

func (o *createOptions) Run(ctx context.Context) error {
	if o.dryRun == dryRunClient {
		return o.print(o.manifest)
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	// Strict: an API server that is older than this program refuses a field that it does
	// not know, instead of dropping it.
	opts := []client.CreateOption{client.FieldValidation(metav1.FieldValidationStrict), client.FieldOwner(programName)}
	if o.dryRun == dryRunServer {
		opts = append(opts, client.DryRunAll)
	}
	if err := c.Create(ctx, o.manifest, opts...); err != nil {
		return o.createFailed(err)
	}
	// Whoever asked for an object with --wait wants the one that is ready.
	printReady := o.wait && *o.printFlags.OutputFormat != "" && *o.printFlags.OutputFormat != "name"
	if !printReady {
		if err := o.print(o.manifest); err != nil {
			return err
		}
	}
	if !o.wait {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	ready, err := o.await(ctx, c, o.key, readyGoal(), o.timeout)
	if err != nil || !printReady {
		return err
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(ready)
	if err != nil {
		return err
	}
	o.manifest.Object = object
	o.manifest.SetGroupVersionKind(controlPlaneKind)
	return o.print(o.manifest)
}

func (o *createOptions) createFailed(err error) error {
	switch {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("%s %q exists already in namespace %q; look at it with: %s get %s -n %s, change it with: kubectl edit tcp %s -n %s",
			controlPlaneWord, o.key.Name, o.key.Namespace, o.program, o.key.Name, o.key.Namespace, o.key.Name, o.key.Namespace)
	case apierrors.IsNotFound(err) && !isNotInstalled(err):
		return fmt.Errorf("namespace %q does not exist%s; make it with: kubectl create namespace %s", o.key.Namespace, o.inContext(), o.key.Namespace)
	default:
		return err
	}
}

// print writes an object without what the server keeps for itself.
func (o *createOptions) print(object *unstructured.Unstructured) error {
	object = object.DeepCopy()
	object.SetManagedFields(nil)
	return o.printer.PrintObj(object, o.Out)
}

// validTimeout refuses time-outs that no wait can be held to.
func validTimeout(timeout time.Duration) error {
	if timeout <= 0 {
		return fmt.Errorf("--timeout %s: must be greater than zero, for example 2m", timeout)
	}
	return nil
}
