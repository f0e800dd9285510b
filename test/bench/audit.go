package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// manager is the name of the service account of Teapot's manager, in whatever namespace it is.
const manager = "teapot-manager"

// request is what is read of a line of the audit log (audit.k8s.io/v1).
type request struct {
	Stage, Verb    string
	User           struct{ Username string }
	ObjectRef      *struct{ Resource, Subresource, Namespace string }
	ResponseStatus struct{ Code int }
	// RequestReceivedTimestamp is the API server's clock, which is that of this computer.
	RequestReceivedTimestamp time.Time
}

// window says which requests are counted.
type window struct {
	from, to time.Time
	// namespaces are those of the objects.
	namespaces []string
}

// holds says whether a request is a write of the manager's in the window.
func (w window) holds(r request) bool {
	return r.Stage == "ResponseComplete" && r.ObjectRef != nil && slices.Contains(w.namespaces, r.ObjectRef.Namespace) &&
		strings.HasPrefix(r.User.Username, "system:serviceaccount:") && strings.HasSuffix(r.User.Username, ":"+manager) &&
		slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, r.Verb) &&
		!r.RequestReceivedTimestamp.Before(w.from) && r.RequestReceivedTimestamp.Before(w.to)
}

// written counts writes by what was written ("patch machineclaims/status"); those that were
// refused, as after a conflict, end in their status code.
type written map[string]int

func (w written) sum() int {
	sum := 0
	for _, count := range w {
		sum += count
	}
	return sum
}

// countWritten reads an audit log.
func countWritten(log io.Reader, in window, into written) error {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), []byte(":"+manager+`"`)) {
			continue // most lines are others', and reading JSON takes long
		}
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			continue // the last line may be half written
		}
		if !in.holds(r) {
			continue
		}
		what := r.Verb + " " + r.ObjectRef.Resource
		if r.ObjectRef.Subresource != "" {
			what += "/" + r.ObjectRef.Subresource
		}
		if r.ResponseStatus.Code >= 400 {
			what += fmt.Sprintf(" %d", r.ResponseStatus.Code)
		}
		into[what]++
	}
	return lines.Err()
}

// written reads from the API server's audit log what Teapot's manager wrote. The API server's
// own counts do not tell who wrote.
func (b *bench) written(in window) (written, error) {
	// With those that were rotated away meanwhile, the oldest first: their names have the time.
	files, err := filepath.Glob(filepath.Join(b.dir.Path("logs"), "audit-*.log"))
	if err != nil {
		return nil, err
	}
	counted, complete := written{}, false
	for _, file := range append(files, b.dir.Log("audit")) {
		err := func() error {
			log, err := os.Open(file)
			if err != nil {
				return err
			}
			defer log.Close()
			first, err := firstTime(log)
			if err != nil {
				return err
			}
			complete = complete || first.Before(in.from)
			info, err := log.Stat()
			if err != nil || info.ModTime().Before(in.from) {
				return err
			}
			return countWritten(log, in, counted)
		}()
		if err != nil {
			return nil, fmt.Errorf("reading the audit log %s: %w", file, err)
		}
	}
	if !complete {
		return nil, fmt.Errorf("the audit log in %s does not reach back to %s: measure fewer hosts at a time (-hosts)", b.dir.Path("logs"), in.from.Format(time.TimeOnly))
	}
	return counted, nil
}

// firstTime returns the time of a log's first line, and leaves the log at its start.
func firstTime(log io.ReadSeeker) (time.Time, error) {
	line, err := bufio.NewReader(log).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return time.Time{}, err
	}
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return time.Time{}, fmt.Errorf("its first line: %w", err)
	}
	_, err = log.Seek(0, io.SeekStart)
	return r.RequestReceivedTimestamp, err
}
