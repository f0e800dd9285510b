package cli

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// Files of the archive that are read first, in this order.
const (
	summaryFile = "summary.txt"
	missingFile = "missing.txt"
)

// archiveMode is the mode of the archive and of the files in it. Without secrets it still
// says much about somebody's cluster.
const archiveMode = 0o600

// archiveName is the folder within the archive and, with .tar.gz, the name of its file.
func archiveName(key types.NamespacedName, when time.Time) string {
	return fmt.Sprintf("teapot-diagnose-%s-%s-%s", key.Namespace, key.Name, when.UTC().Format("20060102T150405Z"))
}

// writeArchive writes files, by their paths within the folder top, as tar.gz. The same files
// at the same time make the same bytes. No file gets in that redact has not seen.
func writeArchive(w io.Writer, top string, when time.Time, files map[string]string, redact func(string) string) error {
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	for _, name := range archiveOrder(files) {
		text := redact(files[name])
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(top, name), Mode: archiveMode,
			Size: int64(len(text)), ModTime: when.UTC().Truncate(time.Second), Format: tar.FormatPAX,
		}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := io.WriteString(archive, text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return errors.Join(archive.Close(), zipped.Close())
}

// archiveOrder begins with what a person reads first.
func archiveOrder(files map[string]string) []string {
	first := []string{summaryFile, missingFile}
	rank := func(name string) int {
		if i := slices.Index(first, name); i >= 0 {
			return i
		}
		return len(first)
	}
	return slices.SortedFunc(maps.Keys(files), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}

// writeFile replaces a file in one step, or leaves what was there.
func writeFile(name string, write func(io.Writer) error) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	err = write(temporary)
	if err := errors.Join(err, temporary.Chmod(archiveMode), temporary.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(temporary.Name(), name)
}

// missing is something that could not be collected.
type missing struct{ what, why string }

// missingText is what missing.txt says.
func missingText(list []missing) string {
	if len(list) == 0 {
		return "Nothing: all that is looked for was collected.\n"
	}
	var text strings.Builder
	text.WriteString("What could not be collected, and why:\n\n")
	for _, m := range list {
		_, _ = fmt.Fprintf(&text, "%s: %s\n", m.what, m.why)
	}
	return text.String()
}

// whyMissing says in words why a request failed. The words before the colon are always one
// of forbidden, not found, timed out, and failed.
func whyMissing(err error) string {
	var network net.Error
	text := strings.Join(strings.Fields(err.Error()), " ")
	switch {
	case apierrors.IsForbidden(err):
		return "forbidden: " + text
	case apierrors.IsNotFound(err):
		return "not found: " + text
	case errors.Is(err, context.DeadlineExceeded), apierrors.IsTimeout(err), errors.As(err, &network) && network.Timeout():
		return "timed out: " + text
	default:
		return "failed: " + text
	}
}
