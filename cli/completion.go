package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

var shells = []string{"bash", "zsh", "fish", "powershell"}

// completionOptions is "completion".
type completionOptions struct {
	*environment
	root  *cobra.Command
	shell string
}

func newCompletionCommand(e *environment) *cobra.Command {
	o := &completionOptions{environment: e}
	examples := `
			# bash, for this shell and for those to come
			source <({teapot} completion bash)
			echo 'source <({teapot} completion bash)' >> ~/.bashrc

			# zsh
			{teapot} completion zsh > "${fpath[1]}/_teapot"

			# fish
			{teapot} completion fish > ~/.config/fish/completions/teapot.fish`
	if e.program == pluginDisplayName {
		examples = `
			# Have kubectl complete the arguments of this plug-in
			ln -s kubectl-teapot "$(dirname "$(command -v kubectl-teapot)")/kubectl_complete-teapot"`
	}
	return &cobra.Command{
		Use:   "completion (bash|zsh|fish|powershell)",
		Short: "Print a script that completes commands, flags and names",
		Long: e.long(`
			Print a script for your shell that completes commands, flags, and the names of
			the control planes in the cluster.

			For "kubectl teapot", kubectl asks a program named kubectl_complete-teapot. This
			program is also that one: link it under that name beside kubectl-teapot.`),
		Example:           e.examples(examples),
		RunE:              e.run(o),
		ValidArgsFunction: cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp),
	}
}

func (o *completionOptions) Complete(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("name one shell: %s", strings.Join(shells, ", "))
	}
	o.root, o.shell = cmd.Root(), args[0]
	return nil
}

func (o *completionOptions) Validate() error {
	_, err := oneOf("shell", o.shell, shells)
	return err
}

func (o *completionOptions) Run(context.Context) error {
	switch strings.ToLower(o.shell) {
	case "bash":
		return o.root.GenBashCompletionV2(o.Out, true)
	case "zsh":
		return o.root.GenZshCompletion(o.Out)
	case "fish":
		return o.root.GenFishCompletion(o.Out, true)
	case "powershell":
		return o.root.GenPowerShellCompletionWithDesc(o.Out)
	default:
		return fmt.Errorf("unknown shell %q", o.shell)
	}
}
