package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
	"github.com/teapot-cloud/teapot/test/machineroom/image"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

func writeDescription(t *testing.T, d disk) {
	t.Helper()
	data, err := json.Marshal(image.Image{Layers: []string{"/upper", "/lower"}})
	if err == nil {
		err = state.WriteFile(d.path("image.json"), data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// anImage makes a directory of images with one image, which has one file for containerd.
func anImage(t *testing.T, images, name string) {
	t.Helper()
	containerd := filepath.Join(images, name, "containerd")
	data, err := json.Marshal(image.Image{Layers: []string{"/lower"}, Containerd: containerd})
	err = errors.Join(err,
		state.WriteFile(filepath.Join(images, name, "image.json"), data, 0o644),
		state.WriteFile(filepath.Join(containerd, "content"), []byte("an image's"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

func TestDisk(t *testing.T) {
	images := filepath.Join(t.TempDir(), "images")
	anImage(t, images, "good")
	d := disk(filepath.Join(filepath.Dir(images), "disk"))

	drive := room.ConfigDrive{MetaData: []byte(`{"name":"m"}`), UserData: bytes.Repeat([]byte("#"), 3<<20)}
	if err := d.write(t.Context(), images, "good", drive); err != nil {
		t.Fatal(err)
	}
	if !d.written() {
		t.Error("a disk that was written is not")
	}
	if content, err := os.ReadFile(d.path("containerd/content")); err != nil || string(content) != "an image's" {
		t.Errorf("containerd finds %q, %v", content, err)
	}
	if label, err := exec.Command("blkid", "-p", "-s", "LABEL", "-o", "value", d.path("config-drive")).CombinedOutput(); err != nil || string(label) != "config-2\n" {
		t.Errorf("the config drive's label is %q, %v", label, err)
	}
	for name, want := range map[string][]byte{"meta_data.json": drive.MetaData, "user_data": drive.UserData} {
		got, err := exec.Command("debugfs", "-R", "cat openstack/latest/"+name, d.path("config-drive")).Output()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s on the config drive has %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}

	// What the tenant before left is gone, and so is what a killed write left.
	for _, file := range []string{d.path("upper/root/secret"), d.unfinished().path("upper/root/secret")} {
		if err := state.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.write(t.Context(), images, "good", room.ConfigDrive{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.path("upper/root/secret")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was on the disk is there after another image was written: %v", err)
	}
	for _, name := range []string{"missing", "../images/good", "..", ""} {
		if err := d.write(t.Context(), images, name, room.ConfigDrive{}); err == nil {
			t.Errorf("image %q was written", name)
		}
		if d.written() {
			t.Errorf("after image %q could not be written, the disk holds something", name)
		}
	}
	if err := d.erase(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(string(d) + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("after erasing there is %v, %v", left, err)
	}
}
