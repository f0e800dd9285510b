package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/teapot-cloud/teapot/test/machineroom/image"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// disk is a directory that holds
//
//	image.json           the image in use
//	upper/, work/        of the overlay over the image's layers
//	containerd/, kubelet/  /var/lib/containerd and /var/lib/kubelet
//	config-drive         a file system labelled config-2
//
// It is complete when it is there.
type disk string

func (c Config) disk() disk { return disk(filepath.Join(c.Dir, "disk")) }

func (d disk) path(name string) string { return filepath.Join(string(d), name) }

// written says whether the disk holds an image.
func (d disk) written() bool {
	_, err := os.Stat(string(d))
	return err == nil
}

// image returns what the disk was written with.
func (d disk) image() (*image.Image, error) { return image.Read(d.path("image.json")) }

func (d disk) erase() error {
	return errors.Join(os.RemoveAll(string(d.unfinished())), os.RemoveAll(string(d)))
}

func (d disk) unfinished() disk { return d + ".new" }

func (d disk) write(ctx context.Context, images, name string, drive room.ConfigDrive) error {
	if err := d.erase(); err != nil {
		return err
	}
	next := d.unfinished()
	for _, dir := range []struct {
		name string
		mode os.FileMode
	}{{"upper", 0o755}, {"work", 0o755}, {"kubelet", 0o750}} {
		if err := os.MkdirAll(next.path(dir.name), dir.mode); err != nil {
			return err
		}
	}
	img, err := image.Use(images, name, next.path("image.json"))
	if err != nil {
		return err
	}
	// With owners, capabilities and links.
	if out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", img.Containerd, next.path("containerd")).CombinedOutput(); err != nil {
		return fmt.Errorf("copying the container images: %w: %s", err, out)
	}
	if err := writeConfigDrive(ctx, next.path("config-drive"), drive); err != nil {
		return fmt.Errorf("writing the config drive: %w", err)
	}
	return os.Rename(string(next), string(d))
}

// writeConfigDrive makes a file system of OpenStack's layout, which cloud-init's datasource
// ConfigDrive looks for by its label. Files that are empty are left out.
func writeConfigDrive(ctx context.Context, file string, drive room.ConfigDrive) error {
	tree, err := os.MkdirTemp(filepath.Dir(file), "drive-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	latest := filepath.Join(tree, "openstack", "latest")
	if err := os.MkdirAll(latest, 0o755); err != nil {
		return err
	}
	size := 4 << 20
	for name, content := range map[string][]byte{
		"meta_data.json": drive.MetaData, "user_data": drive.UserData, "network_data.json": drive.NetworkData,
	} {
		if len(content) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(latest, name), content, 0o600); err != nil {
			return err
		}
		size += 2 * len(content)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(file, int64(size)); err != nil {
		return err
	}
	// A journal would take the room of all the rest.
	out, err := exec.CommandContext(ctx, "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-L", "config-2", "-d", tree, file).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mke2fs: %w: %s", err, out)
	}
	return nil
}

// overlayOptions are the options of a mount of the disk's root file system.
func (d disk) overlayOptions() (string, error) {
	img, err := d.image()
	if err != nil {
		return "", err
	}
	for _, path := range append([]string{string(d)}, img.Layers...) {
		if strings.ContainsAny(path, ":,\\") {
			return "", fmt.Errorf("%s cannot be mounted: its name has one of : , \\", path)
		}
	}
	return fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(img.Layers, ":"), d.path("upper"), d.path("work")), nil
}
