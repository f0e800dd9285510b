package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/internal/version"
)

// versionInfo is what "version -o json" prints.
type versionInfo struct {
	Version   string `json:"version"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
	// DefaultKubernetesVersion is what "create tcp" asks for unless told otherwise.
	DefaultKubernetesVersion string `json:"defaultKubernetesVersion"`
}

// versionOptions is "version".
type versionOptions struct {
	*environment
	output string
}

func newVersionCommand(e *environment) *cobra.Command {
	o := &versionOptions{environment: e}
	cmd := &cobra.Command{
		Use:   "version [options]",
		Short: "Show the version of this program",
		Example: e.examples(`
			# The version
			{teapot} version

			# For programs
			{teapot} version -o json`),
		Args:              noArgs,
		RunE:              e.run(o),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "Output format: json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *versionOptions) Complete(*cobra.Command, []string) error { return nil }

func (o *versionOptions) Validate() error {
	if o.output != "" && o.output != "json" && o.output != "yaml" {
		return fmt.Errorf("--output %q: must be json or yaml", o.output)
	}
	return nil
}

func (o *versionOptions) Run(context.Context) error {
	info := versionInfo{
		Version:                  version.Version,
		GoVersion:                runtime.Version(),
		Platform:                 runtime.GOOS + "/" + runtime.GOARCH,
		DefaultKubernetesVersion: DefaultKubernetesVersion,
	}
	var text []byte
	var err error
	switch o.output {
	case "json":
		text, err = json.MarshalIndent(info, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(info)
	default:
		text = fmt.Appendf(nil, "teapot %s (%s, %s)\n", info.Version, info.GoVersion, info.Platform)
	}
	if err != nil {
		return err
	}
	_, err = o.Out.Write(text)
	return err
}
