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
	ways := fmt.Sprintf("%s create tcp NAME, or %s create pool NAME", e.program, e.program)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a control plane or a pool of machines",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("what to create is missing: %s", ways)
			}
			return usagef("unknown kind %q: %s", args[0], ways)
		},
	}
	cmd.AddCommand(newCreateControlPlaneCommand(e), newCreatePoolCommand(e))
	return cmd
}

// creation is what the commands share that create an object.
type creation struct {
	*environment
	subject    subject
	printFlags *genericclioptions.PrintFlags
	dryRun     string
	wait       bool
	timeout    time.Duration

	key types.NamespacedName
	// goal is what --wait waits for.
	goal     goal
	manifest *unstructured.Unstructured
	printer  printers.ResourcePrinter
}

func newCreation(e *environment, s subject) creation {
	return creation{environment: e, subject: s, goal: readyGoal(), printFlags: genericclioptions.NewPrintFlags("created")}
}

// addFlags adds the flags that are the same for all kinds. timeout is how long --wait waits unless
// told otherwise.
func (o *creation) addFlags(cmd *cobra.Command, timeout time.Duration) {
	flags := cmd.Flags()
	flags.StringVar(&o.dryRun, "dry-run", dryRunNone, `"client" only prints what would be sent; "server" has the API server check it, and keeps nothing`)
	flags.Lookup("dry-run").NoOptDefVal = dryRunClient
	flags.BoolVar(&o.wait, "wait", false, "Wait until the "+o.subject.noun+" is Ready")
	flags.DurationVar(&o.timeout, "timeout", timeout, "How long --wait waits")
	o.printFlags.AddFlags(cmd)
	tidyOutputFlags(cmd, "Output `FORMAT`: json, yaml, name, jsonpath=... or go-template=...")
	_ = cmd.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{dryRunNone, dryRunClient, dryRunServer}, cobra.ShellCompDirectiveNoFileComp))
}

// complete makes the manifest of the object that args names.
func (o *creation) complete(cmd *cobra.Command, args []string, spec map[string]any) error {
	if len(args) != 1 {
		return usagef("create takes the name of one %s, not %d: %s", o.subject.noun, len(args), cmd.UseLine())
	}
	namespace, explicit, err := o.namespace()
	if err != nil {
		return err
	}
	o.key = types.NamespacedName{Namespace: namespace, Name: args[0]}
	o.manifest = &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{}, "spec": spec}}
	o.manifest.SetGroupVersionKind(o.subject.kind)
	o.manifest.SetName(o.key.Name)
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

func (o *creation) Validate() error {
	switch {
	case o.dryRun != dryRunNone && o.dryRun != dryRunClient && o.dryRun != dryRunServer:
		return fmt.Errorf("--dry-run %q: must be none, client or server", o.dryRun)
	case o.wait && o.dryRun != dryRunNone:
		return errors.New("--wait and --dry-run exclude each other: nothing is created that one could wait for")
	}
	return validTimeout(o.timeout)
}

func (o *creation) Run(ctx context.Context) error {
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
	ready, err := o.await(ctx, c, o.subject, o.key, o.goal, o.timeout)
	if err != nil || !printReady {
		return err
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(ready)
	if err != nil {
		return err
	}
	o.manifest.Object = object
	o.manifest.SetGroupVersionKind(o.subject.kind)
	return o.print(o.manifest)
}

func (o *creation) createFailed(err error) error {
	switch {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("%s %q exists already in namespace %q; look at it with: %s %s %s -n %s, change it with: kubectl edit %s %s -n %s",
			o.subject.word, o.key.Name, o.key.Namespace, o.program, o.subject.get, o.key.Name, o.key.Namespace, o.subject.short, o.key.Name, o.key.Namespace)
	case apierrors.IsNotFound(err) && !isNotInstalled(err):
		return fmt.Errorf("namespace %q does not exist%s; make it with: kubectl create namespace %s", o.key.Namespace, o.inContext(), o.key.Namespace)
	default:
		return err
	}
}

// print writes an object without what the server keeps for itself.
func (o *creation) print(object *unstructured.Unstructured) error {
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
