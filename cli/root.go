package cli

import (
	"context"
	"flag"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
	"k8s.io/kubectl/pkg/util/templates"
)

// Names under which the binary is installed.
const (
	programName = "teapot"
	// kubectl runs a program named kubectl-teapot for "kubectl teapot", and one named
	// kubectl_complete-teapot to complete its arguments.
	pluginName         = "kubectl-teapot"
	pluginDisplayName  = "kubectl teapot"
	pluginCompleteName = "kubectl_complete-teapot"
)

// Main runs the command line args, args[0] being the name of the program, and returns
// the exit code.
func Main(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	name := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	rest := args[1:]
	if name == pluginCompleteName {
		name, rest = pluginName, append([]string{cobra.ShellCompRequestCmd}, rest...)
	}
	// client-go reports through klog what the commands report themselves, in words
	// meant for people; -v brings it back.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	root := NewCommand(streams, name)
	root.SetArgs(rest)
	executed, err := root.ExecuteContextC(ctx)
	return report(executed, err, streams.ErrOut)
}

// NewCommand builds the command tree. name is how the program was called: as
// kubectl-teapot, help and messages say "kubectl teapot".
func NewCommand(streams genericiooptions.IOStreams, name string) *cobra.Command {
	use, display := programName, programName
	if name == pluginName {
		use, display = pluginName, pluginDisplayName
	}
	e := newEnvironment(streams, display)

	root := &cobra.Command{
		Use:         use,
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: display},
		Short:       "Hosted Kubernetes control planes",
		Long: templates.LongDesc(`
			Teapot runs Kubernetes control planes as pods of a management cluster. Each is a
			TenantControlPlane (short name: tcp) and a Kubernetes API of its own.

			The kubeconfig and context in use here are those of the management cluster.`),
		Example: e.examples(`
			# Make a control plane, and wait until its API answers
			{teapot} create tcp acme --wait

			# Run a command against it
			{teapot} proxy acme -- kubectl get namespaces

			# Add it to your kubeconfig as context "acme"
			{teapot} kubeconfig acme --merge`),
		SilenceErrors: true,
		SilenceUsage:  true,
		// A root that runs makes cobra check its arguments, so that an unknown command
		// is an error and not a page of help.
		Args:              cobra.NoArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return logVerbosity(cmd) },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.Args = nil // cobra's own check for a root: "unknown command", with suggestions
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate(helpTemplate)
	root.SetHelpCommand(&cobra.Command{Hidden: true})

	e.flags.AddFlags(root.PersistentFlags())
	root.PersistentFlags().IntP("v", "v", 0, "Verbosity of the log of requests on standard error (6 shows each request)")
	e.completeGlobalFlags(root)

	const lifecycle, access, other = "lifecycle", "access", "other"
	root.AddGroup(
		&cobra.Group{ID: lifecycle, Title: "Control planes:"},
		&cobra.Group{ID: access, Title: "Reaching a control plane:"},
		&cobra.Group{ID: other, Title: "Other:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, command := range commands {
			command.GroupID = group
			root.AddCommand(command)
		}
	}
	add(lifecycle, newCreateCommand(e), newGetCommand(e), newWaitCommand(e), newDeleteCommand(e))
	add(access, newKubeconfigCommand(e), newProxyCommand(e))
	add(other, newVersionCommand(e), newCompletionCommand(e), newOptionsCommand())
	return root
}

// logVerbosity turns client-go's own log on when -v asks for it.
func logVerbosity(cmd *cobra.Command) error {
	level := cmd.Flag("v")
	if level == nil || !level.Changed {
		return nil
	}
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	if err := flags.Set("v", level.Value.String()); err != nil {
		return err
	}
	klog.LogToStderr(true)
	return nil
}

// newOptionsCommand lists the flags of every command, as kubectl does, so that the help
// of a single command is about that command.
func newOptionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "options",
		Short: "List the options that every command has",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Usage() },
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		cmd.Printf("The following options can be passed to any command:\n\n%s", cmd.InheritedFlags().FlagUsagesWrapped(100))
		return nil
	})
	return cmd
}

const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{.UsageString}}`

const usageTemplate = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}{{if .HasAvailableSubCommands}}{{$cmd := .}}{{if .Groups}}{{range $group := .Groups}}{{$group.Title}}{{range $cmd.Commands}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}   {{.Short}}{{end}}{{end}}

{{end}}{{else}}Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}   {{.Short}}{{end}}{{end}}

{{end}}{{end}}{{if .HasAvailableLocalFlags}}{{with .LocalNonPersistentFlags.FlagUsagesWrapped 100 | trimTrailingWhitespaces}}Options:
{{.}}

{{end}}{{end}}Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} <command> [options]{{else}}{{.UseLine}}{{end}}
{{if .HasAvailableSubCommands}}
Use "{{.CommandPath}} <command> --help" for more about a command.{{end}}
Use "{{.Root.CommandPath}} options" for the options that every command has.
`
