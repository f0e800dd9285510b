package oci

import (
	"archive/tar"
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// sample is an image with every kind of entry.
func sample(t *testing.T) Spec {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bin")
	if err := os.WriteFile(bin, []byte("#!binary"), 0o700); err != nil {
		t.Fatal(err)
	}
	return Spec{
		Platform: "linux/amd64",
		Files: []File{
			{Path: "/usr/local/bin/server", HostPath: bin, Capabilities: []Capability{NetBindService}},
			{Path: "/etc/passwd", Content: []byte("root:x:0:0::/:\n")},
			{Path: "/tmp", Mode: os.ModeDir | os.ModeSticky | 0o777},
			{Path: "/bin", Link: "usr/local/bin"},
			{Path: "/home", Mode: os.ModeDir | 0o700, UID: 65532, GID: 65532},
		},
		Config: Config{
			User: "65532:65532", Entrypoint: []string{"/usr/local/bin/server"}, Cmd: []string{"-v"},
			Env: []string{PathEnv}, ExposedPorts: []string{"53/udp"}, Labels: map[string]string{"a": "b"},
		},
	}
}

func TestLayer(t *testing.T) {
	img, err := Build(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	headers := map[string]*tar.Header{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(epoch) {
			t.Errorf("%s has time %v", h.Name, h.ModTime)
		}
		got, headers[h.Name] = append(got, h.Name), h
	}
	want := "bin etc/ etc/passwd home/ tmp/ usr/ usr/local/ usr/local/bin/ usr/local/bin/server"
	if strings.Join(got, " ") != want {
		t.Errorf("entries %v, want %s", got, want)
	}
	// The value that `setcap cap_net_bind_service=+ep` writes (getfattr -e hex).
	capability := headers["usr/local/bin/server"].PAXRecords[capabilityRecord]
	if got := hex.EncodeToString([]byte(capability)); got != "0100000200040000000000000000000000000000" {
		t.Errorf("capability record %s", got)
	}
	for name, mode := range map[string]int64{
		"usr/local/bin/server": 0o755, "etc/passwd": 0o644, "tmp/": 0o1777, "home/": 0o700, "usr/": 0o755,
	} {
		if headers[name].Mode != mode {
			t.Errorf("%s has mode %o, want %o", name, headers[name].Mode, mode)
		}
	}
	if h := headers["home/"]; h.Uid != 65532 || h.Gid != 65532 {
		t.Errorf("home is owned by %d:%d", h.Uid, h.Gid)
	}
	if h := headers["bin"]; h.Typeflag != tar.TypeSymlink || h.Linkname != "usr/local/bin" {
		t.Errorf("bin is %c to %q", h.Typeflag, h.Linkname)
	}
}

func TestConfig(t *testing.T) {
	img, err := Build(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if file.OS != "linux" || file.Architecture != "amd64" {
		t.Errorf("platform %s/%s", file.OS, file.Architecture)
	}
	c := file.Config
	if c.User != "65532:65532" || c.WorkingDir != "/" || c.Entrypoint[0] != "/usr/local/bin/server" ||
		c.Cmd[0] != "-v" || c.Env[0] != PathEnv || c.Labels["a"] != "b" {
		t.Errorf("configuration %+v", c)
	}
	if _, ok := c.ExposedPorts["53/udp"]; !ok {
		t.Errorf("ports %v", c.ExposedPorts)
	}
	if len(file.RootFS.DiffIDs) != 1 {
		t.Errorf("layers %v", file.RootFS.DiffIDs)
	}
}

// Two builds from copies of the same files, listed in another order, are the
// same image.
func TestDeterministic(t *testing.T) {
	a, b := sample(t), sample(t)
	b.Files[0], b.Files[3] = b.Files[3], b.Files[0]
	imgA, err := Build(a)
	if err != nil {
		t.Fatal(err)
	}
	imgB, err := Build(b)
	if err != nil {
		t.Fatal(err)
	}
	digestA, _ := imgA.Digest()
	digestB, _ := imgB.Digest()
	if digestA != digestB {
		t.Errorf("digests %s and %s", digestA, digestB)
	}
	dir := t.TempDir()
	var archives [2][]byte
	for i, img := range []Artifact{imgA, imgB} {
		file := filepath.Join(dir, "a.tar")
		if err := WriteArchive(file, "example.org/a:v1", img); err != nil {
			t.Fatal(err)
		}
		if archives[i], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives differ")
	}
}

func TestArchive(t *testing.T) {
	amd, arm := sample(t), sample(t)
	arm.Platform = "linux/arm64"
	index, err := BuildIndex(arm, amd)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "app.tar")
	if err := WriteArchive(file, "example.org/app:v1", index); err != nil {
		t.Fatal(err)
	}
	digest, _ := index.Digest()
	entries, err := ReadArchive(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0] != (Entry{"example.org/app:v1", digest.String()}) {
		t.Errorf("entries %v, want example.org/app:v1 with %s", entries, digest)
	}

	// Read back by a library that verifies digests.
	unpack(t, file, dir)
	path, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := path.ImageIndex(digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := inner.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		img, err := inner.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := img.ConfigFile(); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(platforms, " "); got != "linux/amd64 linux/arm64" {
		t.Errorf("platforms %s", got)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, spec := range map[string]Spec{
		"relative path": {Platform: "linux/amd64", Files: []File{{Path: "etc/passwd"}}},
		"same twice":    {Platform: "linux/amd64", Files: []File{{Path: "/a"}, {Path: "/b/../a"}}},
		"root":          {Platform: "linux/amd64", Files: []File{{Path: "/"}}},
		"no platform":   {},
		"no host file":  {Platform: "linux/amd64", Files: []File{{Path: "/a", HostPath: "/nonexistent"}}},
	} {
		if _, err := Build(spec); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// unpack extracts a flat archive of regular files.
func unpack(t *testing.T, file, dir string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr := tar.NewReader(f)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		dest := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dest, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
