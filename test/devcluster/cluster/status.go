//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/devcluster/proc"
	"github.com/teapot-cloud/teapot/test/devcluster/providers"
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
	client, err := c.client()
	if err != nil {
		return err
	}
	machines := providerRows(ctx, client, w)
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
	if machines != nil {
		return fmt.Errorf("%w: %w", ErrDown, machines)
	}
	return nil
}

// providerRows prints a line for each part that manages machines, if any of them was
// added to the cluster, and returns an error if then one does not run, or if the API
// server does not tell.
func providerRows(ctx context.Context, client kubernetes.Interface, out io.Writer) error {
	all := providers.All(nodenet.NodeIP)
	states := make([]string, len(all))
	var failed error
	absent := 0
	for i, p := range all {
		deployment, err := client.AppsV1().Deployments(p.Namespace).Get(ctx, p.Deployment, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			absent++
			states[i] = "absent"
		case err != nil:
			return fmt.Errorf("looking for %s: %w", p.Name, err)
		case providerRuns(deployment):
			states[i] = "running"
			continue
		default:
			states[i] = "not available"
		}
		failed = errors.Join(failed, fmt.Errorf("%s is %s", p.Name, states[i]))
	}
	if absent == len(all) {
		return nil
	}
	for i, p := range all {
		fmt.Fprintf(out, "%s\t%s\tpod\t%s\t-\tkubectl -n %s logs deployment/%s\n", p.Name, p.Version, states[i], p.Namespace, p.Deployment)
	}
	return failed
}
