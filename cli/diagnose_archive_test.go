package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var noon = time.Date(2025, 11, 21, 12, 0, 0, 0, time.UTC)

// unpack reads an archive: its files by name, and the names in their order.
func unpack(t *testing.T, archive []byte) (map[string]string, []string) {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files, names := map[string]string{}, []string{}
	for reader := tar.NewReader(zipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files, names
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Mode != 0o600 || header.Typeflag != tar.TypeReg {
			t.Errorf("%s has mode %o and type %c", header.Name, header.Mode, header.Typeflag)
		}
		text, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(text)
		names = append(names, header.Name)
	}
}

func TestDiagnoseArchiveLayout(t *testing.T) {
	files := map[string]string{
		"nodes.txt": "n", "missing.txt": "m", "logs/b/x.log": "l", "conditions.txt": "c", "summary.txt": "s", "logs/a/x.log": "password=x",
	}
	top := archiveName(acme, noon)
	if want := "teapot-diagnose-tenants-acme-20251121T120000Z"; top != want {
		t.Errorf("folder %s, want %s", top, want)
	}
	write := func() []byte {
		var archive bytes.Buffer
		if err := writeArchive(&archive, top, noon, files, newRedactor(nil).text); err != nil {
			t.Fatal(err)
		}
		return archive.Bytes()
	}
	archive := write()
	for range 5 { // a map is read in another order each time
		if !bytes.Equal(archive, write()) {
			t.Fatal("the same files made another archive")
		}
	}
	got, names := unpack(t, archive)
	want := []string{"summary.txt", "missing.txt", "conditions.txt", "logs/a/x.log", "logs/b/x.log", "nodes.txt"}
	for i := range want {
		want[i] = top + "/" + want[i]
	}
	if !slices.Equal(names, want) {
		t.Errorf("order %v, want %v", names, want)
	}
	if text := got[top+"/logs/a/x.log"]; text != "password=(redacted)" {
		t.Errorf("a file was written as %q", text)
	}
}

func TestDiagnoseWriteFile(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "a.tar.gz")
	if err := os.WriteFile(file, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := writeFile(file, func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(file); string(text) != "old" {
		t.Errorf("a failure left %q", text)
	}
	if err := writeFile(file, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }); err != nil {
		t.Fatal(err)
	}
	wantMode(t, file)
	if text, _ := os.ReadFile(file); string(text) != "new" {
		t.Errorf("got %q", text)
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 1 {
		t.Errorf("temporary files are left: %v, %v", entries, err)
	}
}

func TestDiagnoseSaysWhyItIsMissing(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"forbidden", fmt.Errorf("list: %w", apierrors.NewForbidden(pods, "a", errors.New("no"))), "forbidden: "},
		{"not found", apierrors.NewNotFound(pods, "a"), "not found: "},
		{"own deadline", fmt.Errorf("get: %w", context.DeadlineExceeded), "timed out: "},
		{"deadline of the server", apierrors.NewTimeoutError("slow", 1), "timed out: "},
		{"of the network", &timeoutError{}, "timed out: "},
		{"anything else", errors.New("line one\nline two"), "failed: line one line two"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := whyMissing(test.err); !strings.HasPrefix(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

type timeoutError struct{}

func (*timeoutError) Error() string   { return "i/o timeout" }
func (*timeoutError) Timeout() bool   { return true }
func (*timeoutError) Temporary() bool { return true }
