package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/tools/clientcmd"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is an error of the command line itself.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// runError is what went wrong while a command ran, in words for people. What cobra
// returns without it was found wrong with the command line before anything ran.
type runError struct{ error }

func (e runError) Unwrap() error { return e.error }

// exitError ends the program with a code and without a message, since what was run has
// said what there is to say.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// options is a command: flags and arguments are completed, checked, and then run.
type options interface {
	// Complete fills in what flags leave open.
	Complete(cmd *cobra.Command, args []string) error
	// Validate refuses combinations that make no sense. Its errors are usage errors.
	Validate() error
	Run(ctx context.Context) error
}

// run makes a cobra function of a command.
func (e *environment) run(o options) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := o.Complete(cmd, args); err != nil {
			return e.classify(err)
		}
		if err := o.Validate(); err != nil {
			return usageError{err}
		}
		return e.classify(o.Run(cmd.Context()))
	}
}

// classify tells usage errors from others and explains the latter.
func (e *environment) classify(err error) error {
	var usage usageError
	var exit exitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &usage), errors.As(err, &exit):
		return err
	case genericclioptions.IsNoCompatiblePrinterError(err):
		return usageError{err}
	default:
		return runError{e.explain(err)}
	}
}

// report prints an error and returns the exit code.
func report(cmd *cobra.Command, err error, out io.Writer) int {
	var exit exitError
	var run runError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &run):
		for _, single := range flatten(run.error) {
			printLine(out, "error: %v", single)
		}
		return exitFailed
	default:
		printLine(out, "error: %s\nSee '%s --help' for usage.", strings.TrimSpace(err.Error()), cmd.CommandPath())
		return exitUsage
	}
}

// flatten returns the single errors of a joined or aggregated one.
func flatten(err error) []error {
	var list []error
	switch joined := err.(type) {
	case utilerrors.Aggregate:
		list = joined.Errors()
	case interface{ Unwrap() []error }:
		list = joined.Unwrap()
	default:
		return []error{err}
	}
	var flat []error
	for _, single := range list {
		flat = append(flat, flatten(single)...)
	}
	return flat
}

// explain turns what the management cluster answered into what it means here and what
// to do about it. What it does not know it leaves as it is.
func (e *environment) explain(err error) error {
	list := flatten(err)
	if len(list) > 1 {
		for i := range list {
			list[i] = e.explain(list[i])
		}
		return errors.Join(list...)
	}
	err = list[0]
	var status apierrors.APIStatus
	var request *url.Error
	switch {
	case isNotInstalled(err):
		return fmt.Errorf("Teapot is not installed in this cluster%s: the kind %s is not known to it\n"+
			"Choose another cluster with --context, or install Teapot: helm install teapot charts/teapot --namespace teapot-system --create-namespace",
			e.inContext(), missingKind(err).kind.Kind)
	case isNotFound(err):
		errors.As(err, &status)
		namespace, _, namespaceErr := e.namespace()
		if namespaceErr != nil {
			return err
		}
		missing, _ := subjectOf(status.Status().Details)
		return fmt.Errorf("%s %q not found in namespace %q%s; see all that there are with: %s %s -A",
			missing.word, status.Status().Details.Name, namespace, e.inContext(), e.program, missing.get)
	case apierrors.IsInvalid(err) && errors.As(err, &status):
		return invalid(status.Status())
	case clientcmd.IsContextNotFound(err):
		return fmt.Errorf("%w; see those that there are with: kubectl config get-contexts", err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the management cluster%s does not accept these credentials: %w", e.inContext(), err)
	case errors.As(err, &request) && errors.Is(err, syscall.ECONNREFUSED):
		if config, configErr := e.flags.ToRawKubeConfigLoader().RawConfig(); configErr == nil && len(config.Clusters) == 0 {
			return errors.New("no management cluster is configured: set KUBECONFIG, or use --kubeconfig and --context")
		}
		return fmt.Errorf("the management cluster%s does not answer: %w\nCheck that it runs, and that --kubeconfig and --context name the right one", e.inContext(), request.Err)
	default:
		return err
	}
}

// isNotInstalled says whether the error means that the cluster lacks a kind itself.
func isNotInstalled(err error) bool { return missingKind(err) != nil }

// missingKind is the subject whose kind the cluster lacks; nil: the error is about something else.
func missingKind(err error) *subject {
	for i := range subjects {
		s := &subjects[i]
		if meta.IsNoMatchError(err) && (strings.Contains(err.Error(), s.kind.Kind) || strings.Contains(err.Error(), s.resource.Resource)) ||
			strings.Contains(err.Error(), "the server doesn't have a resource type \""+s.resource.Resource) {
			return s
		}
	}
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	details := status.Status().Details
	found, ok := subjectOf(details)
	// A 404 that does not come from a handler of the resource has no Status in its body.
	if ok && slices.ContainsFunc(details.Causes, func(cause metav1.StatusCause) bool {
		return cause.Type == metav1.CauseTypeUnexpectedServerResponse
	}) {
		return &found
	}
	return nil
}

// isNotFound says whether an object was asked for that does not exist.
func isNotFound(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || isNotInstalled(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	_, ok := subjectOf(status.Status().Details)
	return ok && status.Status().Details.Name != ""
}

// subjectOf is what an answer of the API server is about, if it is a subject.
func subjectOf(details *metav1.StatusDetails) (subject, bool) {
	for _, s := range subjects {
		if details.Group == s.resource.Group && details.Kind == s.resource.Resource {
			return s, true
		}
	}
	return subject{}, false
}

// invalid lists each field that the API server refused, once.
func invalid(status metav1.Status) error {
	if status.Details == nil || len(status.Details.Causes) == 0 {
		return errors.New(status.Message)
	}
	var lines []string
	for _, cause := range status.Details.Causes {
		// What concerns no field in particular comes with a value that means nothing.
		line := "  " + strings.TrimPrefix(cause.Message, "Invalid value: null: ")
		if cause.Field != "" && cause.Field != "<nil>" {
			line = "  " + cause.Field + ": " + cause.Message
		}
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return fmt.Errorf("%s %q is not valid:\n%s", status.Details.Kind, status.Details.Name, strings.Join(lines, "\n"))
}
