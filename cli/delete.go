package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// deleteOptions is "delete".
type deleteOptions struct {
	*environment
	subject subject
	// losses says what goes with an object, and what stays.
	losses                    func(context.Context, client.Client, client.Object) string
	yes, wait, ignoreNotFound bool
	timeout                   time.Duration

	namespaceName string
	names         []string
}

func newDeleteCommand(e *environment) *cobra.Command {
	o := &deleteOptions{environment: e, subject: controlPlanes, losses: func(_ context.Context, _ client.Client, tcp client.Object) string {
		return losses(tcp.(*teapotv1.TenantControlPlane))
	}}
	cmd := &cobra.Command{
		Use:   "delete NAME... [options]",
		Short: "Delete control planes or pools, after saying what is lost",
		Long: e.long(`
			Delete control planes; pools of machines are deleted by the command below this one.
			First comes a list of what is lost with them, and then the question whether to go
			on; --yes answers it, and is needed where nobody can be asked.`),
		Example: e.examples(`
			# Delete a control plane and wait until nothing of it is left
			{teapot} delete acme

			# In a script
			{teapot} delete acme --yes --timeout 2m`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNames(0),
	}
	o.addFlags(cmd, defaultTimeout)
	cmd.AddCommand(newDeletePoolCommand(e))
	return cmd
}

// addFlags adds the flags. timeout is how long --wait waits unless told otherwise.
func (o *deleteOptions) addFlags(cmd *cobra.Command, timeout time.Duration) {
	flags := cmd.Flags()
	flags.BoolVarP(&o.yes, "yes", "y", false, "Do not ask")
	flags.BoolVar(&o.wait, "wait", true, "Wait until they are gone")
	flags.DurationVar(&o.timeout, "timeout", timeout, "How long --wait waits")
	flags.BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "It is no error if one does not exist")
}

func (o *deleteOptions) Complete(cmd *cobra.Command, args []string) error {
	var err error
	if o.names, err = o.subject.someNames(cmd, args); err != nil {
		return err
	}
	o.namespaceName, _, err = o.namespace()
	return err
}

func (o *deleteOptions) Validate() error {
	if !o.yes && !o.interactive() {
		return errors.New("there is nobody to ask, since the input is not a terminal: confirm with --yes")
	}
	return validTimeout(o.timeout)
}

func (o *deleteOptions) Run(ctx context.Context) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	// All or nothing before the question: a name that is mistyped is found before
	// anything is deleted.
	var found []client.Object
	for _, name := range o.names {
		object := o.subject.newObject()
		err := c.Get(ctx, types.NamespacedName{Namespace: o.namespaceName, Name: name}, object)
		if o.ignoreNotFound && isNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		found = append(found, object)
	}
	if len(found) == 0 {
		return nil
	}
	for _, object := range found {
		o.notef("%s", o.losses(ctx, c, object))
	}
	if !o.yes {
		if err := o.confirm(ctx, len(found)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	errs := make([]error, len(found))
	var group sync.WaitGroup
	for i, object := range found {
		group.Go(func() { errs[i] = o.delete(ctx, c, object) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// losses says what goes with a control plane, and what stays.
func losses(tcp *teapotv1.TenantControlPlane) string {
	key := client.ObjectKeyFromObject(tcp)
	namespace := controlplane.Namespace(key)
	members := max(tcp.Spec.Datastore.Etcd.Members, 1)
	size := tcp.Spec.Datastore.Etcd.StorageSize
	volumes := count(int(members), "etcd volume")
	if !size.IsZero() {
		volumes += " of " + size.String()
		if members > 1 {
			volumes += " each"
		}
	}
	title := fmt.Sprintf("%s %s (Kubernetes %s", controlPlaneKind.Kind, key, tcp.Spec.Version)
	if tcp.Status.Endpoint != nil {
		title += ", " + tcp.Status.Endpoint.URL
	}
	pods := count(int(ptr.Deref(tcp.Spec.Replicas, 1)), "control-plane pod") + " and " + count(int(members), "etcd pod")

	lines := []string{title + ") is deleted, and with it:"}
	if tcp.Spec.DeletionPolicy == teapotv1.DeletionPolicyRetain {
		lines = append(lines,
			fmt.Sprintf("  - %s in namespace %s", pods, namespace),
			"  - the kubeconfigs of its users and controllers in namespace "+key.Namespace,
			fmt.Sprintf("Kept, since spec.deletionPolicy is Retain, in namespace %s with label %s:", namespace, teapotv1.RetainedLabel),
			"  - "+volumes+", the tenant's whole state",
			"  - its certificate authorities and service-account keys")
	} else {
		lines = append(lines,
			fmt.Sprintf("  - %s, and namespace %s itself", pods, namespace),
			"  - "+volumes+": the tenant's whole state, for good",
			"  - its certificate authorities and keys: no kubeconfig or token of it works any more",
			"  - the kubeconfigs of its users and controllers in namespace "+key.Namespace)
	}
	if tcp.Spec.Paused {
		lines = append(lines, "It is paused (spec.paused), so its deletion begins when it is resumed.")
	}
	return strings.Join(lines, "\n")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// confirm asks, and takes anything but yes for no.
func (o *deleteOptions) confirm(ctx context.Context, n int) error {
	question := "Delete it?"
	if n > 1 {
		question = fmt.Sprintf("Delete these %d?", n)
	}
	if _, err := fmt.Fprintf(o.ErrOut, "%s [y/N] ", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(o.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return ctx.Err()
	default:
		return errors.New("not confirmed, nothing was deleted")
	}
}

func (o *deleteOptions) delete(ctx context.Context, c client.WithWatch, object client.Object) error {
	// What is deleted is what was described, not a new one of the same name.
	uid := object.GetUID()
	err := c.Delete(ctx, object, client.Preconditions{UID: &uid})
	if err != nil && !isNotFound(err) {
		return err
	}
	outcome := "deleted"
	if o.wait {
		if _, err := o.await(ctx, c, o.subject, client.ObjectKeyFromObject(object), deletedGoal(uid), o.timeout); err != nil {
			return err
		}
	} else {
		outcome = "deletion requested"
	}
	return o.resultf("%s.%s %q %s", o.subject.word, o.subject.resource.Group, object.GetName(), outcome)
}
