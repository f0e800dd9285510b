package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/proc"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/image"
	"github.com/teapot-cloud/teapot/test/machineroom/machine"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

const (
	// serverPart names the server's log and pid file.
	serverPart = "server"
	// defaultMachines is how many machines there are unless the user says.
	defaultMachines = 4
	// serverGrace is how long the server has to end by itself.
	serverGrace = 10 * time.Second
	// serverLimit is how long it has to answer after its start; it opens each machine first.
	serverLimit = time.Minute
)

func upCommand(dir *string) *cobra.Command {
	var machines, folders int
	var noBoot, restart bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the room, or give it more machines",
		Long: `Start the room inside the network of the development cluster, and wait until it answers.
A room that runs is left alone, and grows if it shall have more machines than it has.

With --no-boot no machine ever runs an operating system: its disk is a folder. So a room
can have thousands. --folders sets how many such machines there are beside those that boot;
their numbers begin at 32768. With --restart the server is replaced by one of this program's build;
machines run on.`,
		Example: `  go run ./test/machineroom up --machines 4
  go run ./test/machineroom up --machines 1000 --no-boot`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if machines < 0 || machines > room.MaxMachines {
				return fmt.Errorf("%w: --machines must be at most %d", errUsage, room.MaxMachines)
			}
			if folders > room.MaxMachines {
				return fmt.Errorf("%w: --folders must be at most %d", errUsage, room.MaxMachines)
			}
			if err := up(cmd.Context(), *dir, machines, noBoot, restart); err != nil {
				return err
			}
			if folders >= 0 {
				if err := (control.Client{Dir: *dir}).SetFolders(cmd.Context(), folders); err != nil {
					return err
				}
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "export IRONIC_ENDPOINT=http://%s/v1/\n", endpoint)
			return err
		},
	}
	cmd.Flags().IntVar(&machines, "machines", 0, fmt.Sprintf("how many machines (default: as many as there are, or %d)", defaultMachines))
	cmd.Flags().BoolVar(&noBoot, "no-boot", false, "no machine runs an operating system")
	cmd.Flags().IntVar(&folders, "folders", -1, "how many further machines that run no operating system (default: as many as there are)")
	cmd.Flags().BoolVar(&restart, "restart", false, "start the server anew")
	return cmd
}

// up starts the room, or has it grow.
func up(ctx context.Context, dir string, machines int, noBoot, restart bool) error {
	cluster, err := state.FromEnvironment().Load()
	if err != nil {
		return err
	}
	if cluster == nil {
		return netdial.ErrNotRunning
	}
	unlock, err := state.Lock(ctx, lockFile(dir))
	if err != nil {
		return err
	}
	defer unlock()
	settings, err := room.Load(dir)
	if err != nil {
		return err
	}
	if settings == nil {
		settings = &room.Settings{Machines: defaultMachines, NoBoot: noBoot}
		if machines > 0 {
			settings.Machines = machines
		}
		if err := settings.Save(dir); err != nil {
			return err
		}
	} else if settings.NoBoot != noBoot && noBoot {
		return fmt.Errorf("the room in %s has machines that boot; --no-boot needs a room of its own: take it down first, or use --state-dir", dir)
	}
	if restart {
		if err := proc.Stop(serverGrace, alive(dir)...); err != nil {
			return err
		}
	}
	client := control.Client{Dir: dir}
	switch _, err := client.List(ctx); {
	case !answers(ctx, cluster.NetNS): // or it answers in the network of a cluster that is gone
		if err := startServer(ctx, dir, cluster.NetNS); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("another machine room than that of %s serves in the development cluster's network: take it down first: %w", dir, err)
	}
	return client.Grow(ctx, machines)
}

// lockFile serializes commands that change a room. It lies beside the directory, because `down`
// removes that while it holds the lock.
func lockFile(dir string) string { return filepath.Clean(dir) + ".lock" }

// startServer starts the server inside the cluster's network, in place of one that does not
// answer, and waits until it does.
func startServer(ctx context.Context, dir, netns string) error {
	if err := proc.Stop(serverGrace, alive(dir)...); err != nil {
		return err
	}
	// `go run` removes its own copy of this program when the command ends.
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("copying this program: %w", err)
	}
	program := filepath.Join(dir, "bin", "machineroom")
	if err := state.WriteFile(program, exe, 0o755); err != nil {
		return fmt.Errorf("copying this program: %w", err)
	}
	var server *proc.Process
	if err := netdial.Do(netns, func() (err error) {
		server, err = proc.Start(state.Dir(dir), proc.Spec{Name: serverPart, Args: []string{program, "--state-dir", dir, "run-server", netns}},
			func(int) error { return nil })
		return err
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, serverLimit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !answers(ctx, netns) {
		if !server.Alive() {
			return fmt.Errorf("the room's server ended; its log is %s", state.Dir(dir).Log(serverPart))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the room's server does not answer at %s; its log is %s", endpoint, state.Dir(dir).Log(serverPart))
		case <-tick.C:
		}
	}
	return nil
}

// answers says whether Ironic's API answers in the cluster's network.
func answers(ctx context.Context, netns string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+endpoint+"/v1/", nil)
	if err != nil {
		return false
	}
	transport := &http.Transport{DialContext: netdial.Dialer(netns), DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// alive returns the server's process if it runs.
func alive(dir string) []*proc.Process {
	if p := proc.Load(state.Dir(dir), serverPart); p.Alive() {
		return []*proc.Process{p}
	}
	return nil
}

func downCommand(dir *string) *cobra.Command {
	var images bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Switch all machines off and remove the room",
		Long: `End the server, cut the power of every machine, and remove the room's files. The images
stay, as builds do; --images removes them as well.`,
		Example: "  go run ./test/machineroom down",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return down(cmd.Context(), *dir, images) },
	}
	cmd.Flags().BoolVar(&images, "images", false, "remove the images as well")
	return cmd
}

// down removes the room, whatever state an earlier command left it in.
func down(ctx context.Context, dir string, images bool) error {
	unlock, err := state.Lock(ctx, lockFile(dir))
	if err != nil {
		return err
	}
	defer unlock()
	settings, err := room.Load(dir)
	if err != nil {
		return err
	}
	if settings == nil {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) || !images {
			return os.Remove(lockFile(dir))
		}
	} else {
		if err := proc.Stop(serverGrace, alive(dir)...); err != nil {
			return err
		}
		r, err := openRoom(dir, "", settings)
		if err != nil {
			return err
		}
		for _, m := range r.Machines() {
			if err := m.Cut(ctx); err != nil {
				return err
			}
		}
		if !settings.NoBoot {
			if err := machine.RestoreComputer(); err != nil {
				return err
			}
		}
	}
	// The settings go last: an interrupted removal can be repeated.
	remove := []string{"bin", "logs", "machines", "nodes", "run", "room.sock"}
	if images {
		remove = append(remove, "images")
	}
	for _, name := range append(remove, "room.json") {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("removing the room: %w", err)
		}
	}
	// Only if nothing is left in it.
	_ = os.Remove(dir)
	return os.Remove(lockFile(dir))
}

func imageCommand(dir *string) *cobra.Command {
	var version string
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Build the image that machines boot, and print its name",
		Long: `Build the image that machines boot: Debian with systemd, cloud-init, containerd, kubelet
and kubeadm. It takes minutes the first time. A host asks for it by the last part of
BareMetalHost.spec.image.url.`,
		Example: "  go run ./test/machineroom image",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			builds, err := build.NewBuilder(func(format string, args ...any) {
				fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
			})
			if err != nil {
				return err
			}
			images := &image.Builder{Dir: imagesDir(*dir), Builds: builds}
			name, err := images.Ensure(cmd.Context(), version)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), name)
			return err
		},
	}
	cmd.Flags().StringVar(&version, "kubernetes-version", build.DefaultKubernetesVersion, "version of Kubernetes")
	return cmd
}
