package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// subject is a kind that commands are about, and how it is called.
type subject struct {
	kind     schema.GroupVersionKind
	resource schema.GroupVersionResource
	// word is the kind in lower case, short its short name, and noun what messages say.
	word, short, noun string
	// get is the command that shows them.
	get string
}

// The subjects.
var (
	controlPlanes = subject{controlPlaneKind, controlPlaneResource, controlPlaneWord, "tcp", "control plane", "get"}
	machineClaims = subject{
		teapotv1.GroupVersion.WithKind("MachineClaim"), teapotv1.GroupVersion.WithResource("machineclaims"),
		"machineclaim", "mc", "claim", "get claims",
	}
	workerPools = subject{
		teapotv1.GroupVersion.WithKind("WorkerPool"), teapotv1.GroupVersion.WithResource("workerpools"),
		"workerpool", "wp", "pool", "get pools",
	}
	subjects = []subject{controlPlanes, machineClaims, workerPools}
)

// newObject is an empty object of the kind.
func (s subject) newObject() client.Object { return made(s.kind).(client.Object) }

// newList is an empty list of such objects.
func (s subject) newList() client.ObjectList {
	return made(s.kind.GroupVersion().WithKind(s.kind.Kind + "List")).(client.ObjectList)
}

// made is an empty object of a kind that the scheme has.
func made(kind schema.GroupVersionKind) runtime.Object {
	object, err := scheme.New(kind)
	utilruntime.Must(err)
	return object
}

// named is how results name an object, as kubectl does.
func (s subject) named(name string) string {
	return fmt.Sprintf("%s.%s/%s", s.word, s.resource.Group, name)
}

func subjectKinds() (kinds []schema.GroupVersionKind) {
	for _, s := range subjects {
		kinds = append(kinds, s.kind)
	}
	return kinds
}

// isKindWord says whether an argument names the kind, as people type it for kubectl.
func (s subject) isKindWord(word string) bool {
	word = strings.ToLower(word)
	resource, group, qualified := strings.Cut(word, ".")
	if qualified && group != s.resource.Group && group != s.resource.Version+"."+s.resource.Group {
		return false
	}
	return slices.Contains([]string{s.short, s.word, s.resource.Resource}, resource)
}

// names reads the arguments of a command that is about such objects. The kind is implied but
// may be said, as kubectl has it: "NAME", "tcp NAME" and "tcp/NAME" are the same. A control
// plane that is itself called tcp can always be written tcp/tcp.
func (s subject) names(args []string) ([]string, error) {
	if len(args) > 1 && s.isKindWord(args[0]) {
		args = args[1:]
	}
	var names []string
	for _, arg := range args {
		kind, name, qualified := strings.Cut(arg, "/")
		switch {
		case !qualified:
			name = arg
		case !s.isKindWord(kind):
			return nil, usagef("%q is not the name of a %s: write NAME or %s/NAME, and the namespace with -n", arg, s.noun, s.short)
		}
		if name == "" {
			return nil, usagef("the name of a %s is empty", s.noun)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// someNames is names for commands that need at least one.
func (s subject) someNames(cmd *cobra.Command, args []string) ([]string, error) {
	names, err := s.names(args)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 || len(args) == 1 && s.isKindWord(args[0]) {
		return nil, usagef("the name of a %s is missing: %s", s.noun, cmd.UseLine())
	}
	return names, nil
}

// someNames are those of control planes.
func someNames(cmd *cobra.Command, args []string) ([]string, error) {
	return controlPlanes.someNames(cmd, args)
}

// oneName is someNames for commands that are about a single one.
func (s subject) oneName(cmd *cobra.Command, args []string) (string, error) {
	names, err := s.someNames(cmd, args)
	if err != nil {
		return "", err
	}
	if len(names) > 1 {
		return "", usagef("one %s at a time, not %d (%s)", s.noun, len(names), strings.Join(names, ", "))
	}
	return names[0], nil
}

// oneName is that of a control plane.
func oneName(cmd *cobra.Command, args []string) (string, error) {
	return controlPlanes.oneName(cmd, args)
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, not %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// completionDeadline bounds what a press of the tab key may take.
const completionDeadline = 2 * time.Second

// completeNames completes the names of the control planes that there are.
func (e *environment) completeNames(limit int) cobra.CompletionFunc {
	return e.completeNamesOf(controlPlanes, limit)
}

// completeNamesOf completes the names of a subject, at most so many; 0: any number.
func (e *environment) completeNamesOf(s subject, limit int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && s.isKindWord(args[0]) {
			args = args[1:]
		}
		if limit > 0 && len(args) >= limit {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		namespace, _, err := e.namespace()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return e.completeFromCluster(cmd.Context(), &metav1.PartialObjectMetadataList{
			TypeMeta: metav1.TypeMeta{APIVersion: s.kind.GroupVersion().String(), Kind: s.kind.Kind + "List"},
		}, toComplete, args, client.InNamespace(namespace))
	}
}

// completeFlag completes a flag that takes the name of a subject.
func (e *environment) completeFlag(s subject) cobra.CompletionFunc {
	complete := e.completeNamesOf(s, 0)
	return func(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		return complete(cmd, nil, toComplete)
	}
}

// completeFromCluster completes names of what a list returns, without those in use.
func (e *environment) completeFromCluster(ctx context.Context, list *metav1.PartialObjectMetadataList, prefix string, used []string, opts ...client.ListOption) ([]string, cobra.ShellCompDirective) {
	c, err := e.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionDeadline)
	defer cancel()
	if err := c.List(ctx, list, opts...); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, item := range list.Items {
		if strings.HasPrefix(item.Name, prefix) && !slices.Contains(used, item.Name) {
			names = append(names, item.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeGlobalFlags completes the values of the flags that every command has.
func (e *environment) completeGlobalFlags(root *cobra.Command) {
	// Both flags were just added to the root, so registering cannot fail.
	_ = root.RegisterFlagCompletionFunc("namespace", func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return e.completeFromCluster(cmd.Context(), &metav1.PartialObjectMetadataList{
			TypeMeta: metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "NamespaceList"},
		}, prefix, nil)
	})
	_ = root.RegisterFlagCompletionFunc("context", func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		config, err := e.flags.ToRawKubeConfigLoader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for name := range config.Contexts {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}
