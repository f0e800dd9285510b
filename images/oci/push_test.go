package oci

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestPush sends an index to a real registry server (go-containerregistry's own, on
// loopback) and reads it back for both platforms.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	spec := func(platform string) Spec {
		return Spec{Platform: platform, Files: []File{{Path: "/p", Mode: 0o755, Content: []byte(platform)}}}
	}
	index, err := BuildIndex(spec("linux/amd64"), spec("linux/arm64"))
	if err != nil {
		t.Fatal(err)
	}
	reference := strings.TrimPrefix(server.URL, "http://") + "/teapot/teapot-manager:v0"
	if err := Push(t.Context(), reference, index); err != nil {
		t.Fatal(err)
	}
	parsed, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := remote.Index(parsed)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := index.Digest()
	if got, err := pushed.Digest(); err != nil || got != want {
		t.Errorf("the registry has %s, %v; want %s", got, err, want)
	}
	manifest, err := pushed.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 2 {
		t.Errorf("the registry has %d platforms, want 2", len(manifest.Manifests))
	}
}
