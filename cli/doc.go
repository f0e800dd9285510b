// Package cli is the command line of Teapot, also installed as a kubectl plug-in.
//
// NewCommand (root.go) builds the tree; each command has a file named after it with an
// options struct that is completed from flags and arguments, validated, and run. What
// the commands share is small: environment.go (client, namespace, messages), errors.go
// (what an error means and which exit code it has), names.go (arguments that name
// control planes), follow.go (list and watch until something is true) and forward.go
// (connections into a pod). "diagnose" is the largest: diagnose_collect.go and its
// neighbours read; diagnose_summary.go, diagnose_redact.go and diagnose_archive.go are pure.
//
// Data goes to standard output, progress and errors to standard error. The exit code
// is 0 when done, 1 when something failed or timed out, 2 when the command line itself
// was wrong.
package cli
