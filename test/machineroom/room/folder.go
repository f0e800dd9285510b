package room

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// Folder is a Computer without an operating system: a disk whose files can be read, and a switch.
// It costs a few files per machine, so that a room can have thousands.
type Folder struct {
	// Dir is the machine's own folder.
	Dir string
	// Images is the folder with images. An image that is not in it cannot be written. Without a
	// folder, every image can.
	Images string
}

// Disk is the folder that is the disk. The image's name is in its file "image", the config drive
// below "openstack/latest".
func (f Folder) Disk() string { return filepath.Join(f.Dir, "disk") }

// running is the file that is there while the operating system would run.
func (f Folder) running() string { return filepath.Join(f.Dir, "running") }

// Write implements Computer.
func (f Folder) Write(ctx context.Context, image string, drive ConfigDrive) error {
	if f.Images != "" {
		if _, err := os.Stat(filepath.Join(f.Images, image)); err != nil {
			return fmt.Errorf("image %s is not in the room: %w", image, err)
		}
	}
	if err := f.Erase(ctx); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"openstack/latest/meta_data.json":    drive.MetaData,
		"openstack/latest/user_data":         drive.UserData,
		"openstack/latest/network_data.json": drive.NetworkData,
		"image":                              []byte(image),
	} {
		if content == nil {
			continue
		}
		if err := state.WriteFile(filepath.Join(f.Disk(), name), content, 0o600); err != nil {
			return fmt.Errorf("writing the disk: %w", err)
		}
	}
	return nil
}

// Erase implements Computer.
func (f Folder) Erase(context.Context) error {
	if err := os.RemoveAll(f.Disk()); err != nil {
		return fmt.Errorf("erasing the disk: %w", err)
	}
	return nil
}

// PowerOn implements Computer.
func (f Folder) PowerOn(context.Context) error {
	if _, err := os.Stat(filepath.Join(f.Disk(), "image")); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("booting from the disk: %w", err)
	}
	return state.WriteFile(f.running(), nil, 0o600)
}

// PowerOff implements Computer.
func (f Folder) PowerOff(context.Context, bool) error {
	if err := os.Remove(f.running()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("switching off: %w", err)
	}
	return nil
}

// On implements Computer.
func (f Folder) On() (bool, error) {
	_, err := os.Stat(f.running())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
