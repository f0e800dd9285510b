package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/ironic"
	"github.com/teapot-cloud/teapot/test/machineroom/machine"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// endpoint is where Ironic's API is served, in the development cluster's network: its port is
// Ironic's own. IRONIC_ENDPOINT of baremetal-operator is http://<endpoint>/v1/.
const endpoint = nodenet.NodeIP + ":6385"

// imagesDir is the directory of images: beside the machines, since their disks link to its files.
func imagesDir(dir string) string { return filepath.Join(dir, "images") }

// computers returns how the part of a machine that runs on this computer is made.
func computers(dir, netns string, noBoot bool) func(room.Identity, string) (room.Computer, error) {
	return func(id room.Identity, machineDir string) (room.Computer, error) {
		if noBoot || id.Index >= room.FirstFolder {
			return room.Folder{Dir: machineDir}, nil
		}
		if !id.Address.IsValid() {
			return nil, fmt.Errorf("there is no address left in the development cluster's network %s/24; use fewer machines, or --no-boot", nodenet.NodeIP)
		}
		return machine.New(machineConfig(id, machineDir, dir, netns)), nil
	}
}

// machineConfig is what boots as a machine.
func machineConfig(id room.Identity, machineDir, dir, netns string) machine.Config {
	return machine.Config{
		Name: id.Name, Dir: machineDir, MAC: id.MAC, Address: id.Address, Gateway: netip.MustParseAddr(nodenet.NodeIP),
		NetNS: netns, Images: imagesDir(dir),
	}
}

// runServerCommand is the room's process. It is started inside the development cluster's network.
func runServerCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "run-server NETNS", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := net.Listen("tcp", endpoint)
			if err != nil {
				return fmt.Errorf("listening for Ironic's clients: %w", err)
			}
			defer api.Close()
			return serve(cmd.Context(), *dir, args[0], api, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
		},
	}
}

// openRoom opens all machines of a room.
func openRoom(dir, netns string, settings *room.Settings) (*room.Room, error) {
	r, err := room.Open(dir, settings.Machines, computers(dir, netns, settings.NoBoot))
	if err != nil {
		return nil, err
	}
	return r, r.SetFolders(settings.Folders)
}

// serve serves a room until ctx ends, Ironic's clients at api. Its machines go on without it.
func serve(ctx context.Context, dir, netns string, api net.Listener, log *slog.Logger) error {
	settings, err := room.Load(dir)
	if err != nil {
		return err
	}
	if settings == nil {
		return fmt.Errorf("there is no room in %s", dir)
	}
	r, err := openRoom(dir, netns, settings)
	if err != nil {
		return err
	}
	// A killed server leaves its socket.
	if err := os.Remove(control.Socket(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing a former socket: %w", err)
	}
	hand, err := net.Listen("unix", control.Socket(dir))
	if err != nil {
		return fmt.Errorf("listening for commands: %w", err)
	}
	defer hand.Close()
	// It tells the management controllers' passwords.
	if err := os.Chmod(control.Socket(dir), 0o600); err != nil {
		return fmt.Errorf("protecting the socket: %w", err)
	}
	i, err := ironic.New(r, filepath.Join(dir, "nodes"), ironic.Options{Log: log})
	if err != nil {
		return err
	}
	defer i.Close()

	var sizing sync.Mutex
	grow := func(machines int) error {
		sizing.Lock()
		defer sizing.Unlock()
		if machines <= settings.Machines {
			return nil
		}
		if err := r.Grow(machines); err != nil {
			return err
		}
		settings.Machines = machines
		return settings.Save(dir)
	}
	setFolders := func(folders int) error {
		sizing.Lock()
		defer sizing.Unlock()
		if err := r.SetFolders(folders); err != nil {
			return err
		}
		settings.Folders = folders
		return settings.Save(dir)
	}
	servers := []*http.Server{
		{Handler: i.Handler(), ReadHeaderTimeout: 10 * time.Second},
		{Handler: control.Handler(r, i, grow, setFolders), ReadHeaderTimeout: 10 * time.Second},
	}
	failed := make(chan error, len(servers))
	for n, l := range []net.Listener{api, hand} {
		go func() { failed <- servers[n].Serve(l) }()
	}
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	}
	for _, s := range servers {
		_ = s.Close()
	}
	return err
}
