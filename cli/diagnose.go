package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/printers"
)

const (
	// toStandardOutput is the value of --output for standard output.
	toStandardOutput = "-"
	// defaultLogsTail is enough to see a component start and fail several times, and keeps
	// an archive to a few megabytes.
	defaultLogsTail = 5000
)

// diagnoseOptions is "diagnose".
type diagnoseOptions struct {
	*environment
	output   string
	since    time.Duration
	logsTail int64

	key types.NamespacedName
}

func newDiagnoseCommand(e *environment) *cobra.Command {
	o := &diagnoseOptions{environment: e}
	cmd := &cobra.Command{
		Use:   "diagnose NAME [options]",
		Short: "Collect what explains a control plane's state, in one archive without secrets",
		Long: e.long(`
			Collect what somebody needs who is to find out what is wrong with a control plane,
			in one archive (tar.gz, mode 0600): versions, the TenantControlPlane and its
			conditions, events, the objects of its own namespace, logs of every container, the
			manager's log lines about it, the management cluster's nodes, and what its own API
			says. summary.txt says in words what is wrong; missing.txt lists what could not be
			collected, and why.

			It holds no secrets: of Secrets only names, types, keys, sizes and when certificates
			expire. Private keys, tokens and passwords are removed from everything else. It does
			hold names, addresses and log lines: give it to whom you would show those.

			What you may not read, or does not answer, is left out. The ClusterRole
			teapot-operator may read most of it.`),
		Example: e.examples(`
			# Into a file of this directory
			{teapot} diagnose acme

			# The last hour of the logs, into a file of that name
			{teapot} diagnose acme --since 1h --output acme.tar.gz

			# What is wrong, in words
			{teapot} diagnose acme -o - | tar -xzO --wildcards '*/summary.txt'`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNames(1),
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "", "Write to `FILE`, or to standard output if it is - (default: teapot-diagnose-NAMESPACE-NAME-TIME.tar.gz)")
	flags.DurationVar(&o.since, "since", 0, "Only log lines that are newer than this, for example 1h (default: all)")
	flags.Int64Var(&o.logsTail, "logs-tail", defaultLogsTail, "At most this `NUMBER` of lines of each log, the newest; -1 for all")
	_ = cmd.RegisterFlagCompletionFunc("since", cobra.FixedCompletions([]string{"10m", "1h", "24h"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("logs-tail", cobra.NoFileCompletions)
	return cmd
}

func (o *diagnoseOptions) Complete(cmd *cobra.Command, args []string) error {
	name, err := oneName(cmd, args)
	if err != nil {
		return err
	}
	namespace, _, err := o.namespace()
	o.key = types.NamespacedName{Namespace: namespace, Name: name}
	return err
}

func (o *diagnoseOptions) Validate() error {
	switch {
	case o.since < 0 || o.since > 0 && o.since < time.Second:
		return fmt.Errorf("--since %s: must be at least a second, for example 1h; leave it out for all", o.since)
	case o.logsTail == 0 || o.logsTail < -1:
		return fmt.Errorf("--logs-tail %d: must be at least 1, or -1 for all", o.logsTail)
	case o.output == toStandardOutput && printers.IsTerminal(o.Out):
		return errors.New("--output -: the archive is not for a terminal; send it to a file or a command")
	case o.output == toStandardOutput || o.output == "":
		return nil
	}
	if info, err := os.Stat(o.output); err == nil && info.IsDir() {
		return fmt.Errorf("--output %s: is a directory; name a file in it", o.output)
	}
	if info, err := os.Stat(filepath.Dir(o.output)); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return fmt.Errorf("--output %s: there is no directory %s", o.output, filepath.Dir(o.output))
	}
	return nil
}

func (o *diagnoseOptions) Run(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	started := o.clock.Now()
	c, err := newCollector(o, started)
	if err != nil {
		return err
	}
	if err := c.collect(ctx); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted; nothing was written")
		}
		return err
	}
	top := archiveName(o.key, started)
	redactor := newRedactor(c.secrets)
	files, summary := c.result()
	write := func(w io.Writer) error { return writeArchive(w, top, started, files, redactor.text) }
	file := o.output
	switch file {
	case toStandardOutput:
		err = write(o.Out)
	case "":
		file = top + ".tar.gz"
		fallthrough
	default:
		err = writeFile(file, write)
	}
	if err != nil {
		return err
	}
	// What people read at once; the rest is in the archive.
	o.notef("\n%s", printers.EscapeTerminal(redactor.text(summary)))
	if file != toStandardOutput {
		o.notef("Wrote %s (%d files)", file, len(files))
	}
	return nil
}
