// Command machineroom runs machines on this computer and the Ironic API that
// baremetal-operator drives them by, for the demo and the tests.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		// A command in a machine has said itself what it has to say.
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "error:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// errUsage marks mistakes on the command line.
var errUsage = errors.New("usage")

// newCommand returns the whole command tree.
func newCommand() *cobra.Command {
	dir := room.FromEnvironment()
	root := &cobra.Command{
		Use:   "machineroom",
		Short: "Machines on this computer, behind the Ironic API that Metal3 drives",
		Long: `Machines on this computer, behind the Ironic API that Metal3's baremetal-operator
drives. A machine that is provisioned and powered boots here: its own root file system
and namespaces, systemd, cloud-init, containerd and kubelet.

The room lives in the network of the development cluster (go run ./test/devcluster up).
The Ironic API is the only part of it that stands for hardware.`,
		Example: `  go run ./test/machineroom up --machines 4
  go run ./test/machineroom hosts -n metal | kubectl apply -f -
  go run ./test/machineroom list
  go run ./test/machineroom fail machine-2 fail-clean
  go run ./test/machineroom power machine-0 cut
  go run ./test/machineroom down`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.PersistentFlags().StringVar(&dir, "state-dir", dir, "where the room keeps its files (environment: "+room.DirEnv+")")
	root.AddCommand(
		upCommand(&dir), downCommand(&dir), imageCommand(&dir),
		listCommand(&dir), showCommand(&dir), hostsCommand(&dir),
		powerCommand(&dir), failCommand(&dir), consoleCommand(&dir), shellCommand(&dir),
		runServerCommand(&dir),
	)
	return root
}
