// Package logs is how Teapot's programs log: the flags that say how, and the logger that follows them.
package logs

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strconv"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Flags are what the operator says of logs: --log-format, and klog's -v and --vmodule.
type Flags struct {
	format string
	config *textlogger.Config
}

// Add adds the flags to a set.
func (f *Flags) Add(set *pflag.FlagSet) {
	f.config = textlogger.NewConfig()
	goFlags := flag.NewFlagSet("logs", flag.ContinueOnError)
	f.config.AddFlags(goFlags)
	set.StringVar(&f.format, "log-format", "text", "text or json (one object a line; without vmodule)")
	set.AddGoFlagSet(goFlags)
}

// Validate refuses a format that there is not.
func (f *Flags) Validate() error {
	if f.format != "text" && f.format != "json" {
		return fmt.Errorf("--log-format: must be text or json, not %q", f.format)
	}
	return nil
}

// Logger writes to standard error.
func (f *Flags) Logger() logr.Logger {
	if f.format == "text" {
		return textlogger.NewLogger(f.config)
	}
	// A verbosity is a number: the flag's own Set has seen to it.
	verbosity, _ := strconv.Atoi(f.config.Verbosity().String())
	return logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.Level(-verbosity)}))
}

// Start returns the logger and has controller-runtime and client-go use it, too.
func (f *Flags) Start() logr.Logger {
	logger := f.Logger()
	ctrl.SetLogger(logger)
	klog.SetLoggerWithOptions(logger, klog.ContextualLogger(true)) // client-go's
	return logger
}
