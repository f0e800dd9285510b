package cli

import (
	"context"
	"flag"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
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
	// client-go logs what the commands report themselves, in words meant for people; -v
	// brings it back.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))

	root := NewCommand(streams, name)
	root.SetArgs(rest)
	executed, err := root.ExecuteContextC(ctx)
	return report(executed, err, streams.ErrOut)
}

// NewCommand builds the command tree. name is how the program was called: as
// kubectl-teapot, help and messages say "kubectl teapot".
func NewCommand(streams genericiooptions.IOStreams, name string) *cobra.Command {
	if name == pluginName {
		return newRoot(newEnvironment(streams, pluginDisplayName), pluginName)
	}
	return newRoot(newEnvironment(streams, programName), programName)
}

func newRoot(e *environment, use string) *cobra.Command {
	root := &cobra.Command{
		Use:         use,
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: e.program},
		Short:       "Hosted Kubernetes control planes",
		Long: e.long(`
			Teapot runs Kubernetes control planes as pods of a management cluster. Each is a
			TenantControlPlane (short name: tcp) and a Kubernetes API of its own. Machines join
			it in WorkerPools (short name: wp).

			The kubeconfig and context in use here are those of the management cluster.`),
		Example: e.examples(`
			# Make a control plane, and wait until its API answers
			{teapot} create tcp acme --wait

			# Run a command against it
			{teapot} proxy acme -- kubectl get namespaces

			# Add it to your kubeconfig as context "acme"
			{teapot} kubeconfig acme --merge`),
		SilenceErrors:     true,
		SilenceUsage:      true,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return logVerbosity(cmd) },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(e.In)
	root.SetOut(e.Out)
	root.SetErr(e.ErrOut)
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate(helpTemplate)

	e.flags.AddFlags(root.PersistentFlags())
	root.PersistentFlags().IntP("v", "v", 0, "Verbosity of the log of requests on standard error (6 shows each request)")
	e.completeGlobalFlags(root)

	const lifecycle, access, other = "lifecycle", "access", "other"
	root.AddGroup(
		&cobra.Group{ID: lifecycle, Title: "Control planes and machines:"},
		&cobra.Group{ID: access, Title: "Reaching a control plane:"},
		&cobra.Group{ID: other, Title: "Other:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, command := range commands {
			command.GroupID = group
			root.AddCommand(command)
		}
	}
	add(lifecycle, newCreateCommand(e), newGetCommand(e), newDescribeCommand(e), newScaleCommand(e), newHibernateCommand(e), newResumeCommand(e), newWaitCommand(e), newDeleteCommand(e), newDiagnoseCommand(e))
	add(access, newKubeconfigCommand(e), newProxyCommand(e))
	add(other, newVersionCommand(e), newCompletionCommand(e), newOptionsCommand())
	root.SetHelpCommandGroupID(other)
	forEach(root, func(cmd *cobra.Command) { cmd.DisableFlagsInUseLine = true })
	return root
}

func forEach(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, child := range cmd.Commands() {
		forEach(child, do)
	}
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
	klog.ClearLogger()
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

{{end}}{{end}}{{if and .HasParent .HasAvailableLocalFlags}}Options:
{{.LocalFlags.FlagUsagesWrapped 100 | trimTrailingWhitespaces}}

{{end}}Usage:{{if or (not .HasAvailableSubCommands) .ValidArgsFunction}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} <command> [options]{{end}}
{{if .HasAvailableSubCommands}}
Use "{{.CommandPath}} <command> --help" for more about a command.{{end}}
Use "{{.Root.CommandPath}} options" for the options that every command has.
`
