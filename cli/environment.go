package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/kubectl/pkg/util/term"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/internal/version"
	"github.com/teapot-cloud/teapot/workers/host"
)

// The kind that most commands are about, and how it is called in messages.
var (
	controlPlaneKind     = teapotv1.GroupVersion.WithKind("TenantControlPlane")
	controlPlaneResource = teapotv1.GroupVersion.WithResource("tenantcontrolplanes")
)

const controlPlaneWord = "tenantcontrolplane"

// environment is what the commands share: the streams, the way to the management
// cluster, and how the program is called.
type environment struct {
	genericiooptions.IOStreams
	// program is how messages call the program: "teapot" or "kubectl teapot".
	program string
	flags   *genericclioptions.ConfigFlags
	clock   clock.PassiveClock
	// interactive says whether somebody can answer a question on In.
	interactive func() bool
	// lines keeps apart the lines of what runs at the same time.
	lines sync.Mutex
}

func newEnvironment(streams genericiooptions.IOStreams, program string) *environment {
	e := &environment{
		IOStreams: streams,
		program:   program,
		flags:     genericclioptions.NewConfigFlags(true),
		clock:     clock.RealClock{},
	}
	e.interactive = func() bool { return term.TTY{In: e.In}.IsTerminalIn() }
	e.flags.WithWrapConfigFn(func(config *rest.Config) *rest.Config {
		config.UserAgent = programName + "/" + version.Version
		config.WarningHandler = rest.NewWarningWriter(e.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
		return config
	})
	return e
}

// scheme has the kinds that the commands read and write.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(s))
	utilruntime.Must(authorizationv1.AddToScheme(s))
	utilruntime.Must(teapotv1.AddToScheme(s))
	utilruntime.Must(host.AddToScheme(s))
	utilruntime.Must(clusterv1.AddToScheme(s))
	return s
}()

// client returns a client of the management cluster. It knows the few kinds that it
// needs and asks no discovery: that saves a request or two per command, and a user
// without any right but on control planes can use it.
func (e *environment) client() (client.WithWatch, error) {
	config, err := e.flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	return clientFor(config)
}

// clientFor is client for another configuration.
func clientFor(config *rest.Config) (client.WithWatch, error) {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range slices.Concat([]schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("Event"),
		corev1.SchemeGroupVersion.WithKind("Secret"),
	}, subjectKinds(), hostKinds, machineKinds, diagnosedKinds) {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	for _, kind := range []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("Namespace"),
		corev1.SchemeGroupVersion.WithKind("Node"),
		authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"),
	} {
		mapper.Add(kind, meta.RESTScopeRoot)
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: mapper})
}

// namespace returns the namespace in use and whether it was asked for by a flag.
func (e *environment) namespace() (name string, explicit bool, err error) {
	return e.flags.ToRawKubeConfigLoader().Namespace()
}

// contextName returns the name of the kubeconfig context in use, for messages.
func (e *environment) contextName() string {
	if e.flags.Context != nil && *e.flags.Context != "" {
		return *e.flags.Context
	}
	config, err := e.flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return ""
	}
	return config.CurrentContext
}

// inContext returns ` (context "x")`, or nothing where there is no context.
func (e *environment) inContext() string {
	if name := e.contextName(); name != "" {
		return fmt.Sprintf(" (context %q)", name)
	}
	return ""
}

// long formats a command's description, which stands indented in the source: {teapot}
// becomes the program's name.
func (e *environment) long(text string) string {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(text, "{teapot}", e.program)), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

// examples formats a command's examples in the same way, indented by two.
func (e *environment) examples(text string) string {
	lines := strings.Split(e.long(text), "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "  " + line
		}
	}
	return strings.Join(lines, "\n")
}

// tidyOutputFlags shows -o of kubectl's printing flags and hides its companions, which
// work all the same.
func tidyOutputFlags(cmd *cobra.Command, usage string, shown ...string) {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		switch flag.Name {
		case "output":
			flag.Usage = usage
		case "allow-missing-template-keys", "show-managed-fields", "template", "label-columns", "show-kind", "no-headers", "show-labels", "sort-by":
			flag.Hidden = !slices.Contains(shown, flag.Name)
		}
	})
}

// notef writes a line for people to standard error.
func (e *environment) notef(format string, args ...any) {
	e.lines.Lock()
	defer e.lines.Unlock()
	printLine(e.ErrOut, format, args...)
}

// resultf writes a line of result to standard output.
func (e *environment) resultf(format string, args ...any) error {
	e.lines.Lock()
	defer e.lines.Unlock()
	_, err := fmt.Fprintf(e.Out, format+"\n", args...)
	return err
}

// printLine writes a line of progress. There is nowhere to report that standard error
// cannot be written to.
func printLine(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format+"\n", args...)
}
