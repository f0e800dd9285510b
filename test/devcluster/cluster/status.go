//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/teapot-cloud/teapot/test/devcluster/proc"
)

// ErrDown says that the cluster, or a part of it, does not run.
var ErrDown = errors.New("the development cluster is not up")

// Status prints a line per part. It returns ErrDown if a part does not run, or
// what Ready says is missing.
func (c *Cluster) Status(ctx context.Context, out io.Writer) error {
	record, err := c.Dir.Load()
	if err != nil {
		return err
	}
	if record == nil {
		return fmt.Errorf("%w: go run ./test/devcluster up", ErrDown)
	}
	down := false
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PART\tVERSION\tPID\tSTATE\tUPTIME\tLOG")
	for _, name := range partNames {
		p := proc.Load(c.Dir, name)
		switch {
		case p.Alive():
			fmt.Fprintf(w, "%s\t%s\t%d\trunning\t%s\t%s\n", name, p.Version, p.PID, time.Since(p.Started).Round(time.Second), c.Dir.Log(name))
		case p != nil:
			fmt.Fprintf(w, "%s\t%s\t-\tended\t-\t%s\n", name, p.Version, c.Dir.Log(name))
			down = true
		default:
			fmt.Fprintf(w, "%s\t-\t-\tnot started\t-\t-\n", name)
			down = true
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nnode %s, network namespace %s, API server at https://127.0.0.1:%d\n", record.NodeIP, record.NetNS, record.ForwardPort)
	if down {
		return fmt.Errorf("%w: go run ./test/devcluster up repairs it", ErrDown)
	}
	if err := c.Ready(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrDown, err)
	}
	return nil
}
