// Command images builds Teapot's own container images as OCI archives, for one
// or several platforms, without a container engine, on any system that Go runs
// on. With --push it sends them to a registry as well.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/teapot-cloud/teapot/images/oci"
)

// defaultRepository is where released images are published.
const defaultRepository = "ghcr.io/teapot-cloud"

// errUsage marks mistakes on the command line.
var errUsage = errors.New("usage")

// options are the command's flags.
type options struct {
	platforms  []string
	output     string
	repository string
	push       string
	tag        string
	names      []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// newCommand returns the command.
func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "images",
		Short: "Build Teapot's container images",
		Long: `Build Teapot's container images as OCI archives, one file per image, and print
their paths. The archives hold static binaries and nothing else; they can be
imported by containerd, kind load image-archive, skopeo or docker load.`,
		Example: `  go run ./images --output out
  go run ./images --platform linux/amd64,linux/arm64 --tag v0.1.0 --output out
  go run ./images --platform linux/amd64,linux/arm64 --push registry.example/teapot --tag v0.1.0`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	f := cmd.Flags()
	f.StringSliceVar(&o.platforms, "platform", []string{"linux/" + runtime.GOARCH}, "platforms as os/arch, comma separated; several make an index")
	f.StringVar(&o.output, "output", filepath.Join("images", "out"), "directory for the archives")
	f.StringVar(&o.repository, "repository", defaultRepository, "prefix of the images' names")
	f.StringVar(&o.push, "push", "", "push to this prefix too, with the credentials of `docker login`, and use it instead of --repository")
	f.StringVar(&o.tag, "tag", "dev", "tag of the images, and the version that the binaries answer with")
	f.StringSliceVar(&o.names, "image", nil, "only these images (default: all)")
	return cmd
}

// run builds, writes and pushes the images.
func run(ctx context.Context, o options, out, progress io.Writer) error {
	images, err := choose(o.names)
	if err != nil {
		return err
	}
	repository := o.repository
	if o.push != "" {
		repository = o.push
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "teapot-images-")
	if err != nil {
		return fmt.Errorf("making a build directory: %w", err)
	}
	defer os.RemoveAll(dir)
	for _, img := range images {
		artifact, err := build(ctx, root, dir, img, o.platforms, o.tag)
		if err != nil {
			return fmt.Errorf("building %s: %w", img.name, err)
		}
		name := strings.TrimSuffix(repository, "/") + "/" + img.name + ":" + o.tag
		file := filepath.Join(o.output, img.name+".tar")
		if err := oci.WriteArchive(file, name, artifact); err != nil {
			return err
		}
		digest, err := artifact.Digest()
		if err != nil {
			return err
		}
		fmt.Fprintf(progress, "%s %s (%s)\n", name, digest, strings.Join(o.platforms, ", "))
		if o.push != "" {
			if err := oci.Push(ctx, name, artifact); err != nil {
				return err
			}
			fmt.Fprintf(progress, "pushed %s\n", name)
		}
		fmt.Fprintln(out, file)
	}
	return nil
}
