// Command teapot is what people type to work with hosted control planes. Installed as
// kubectl-teapot it is "kubectl teapot".
package main

import (
	"context"
	"os"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	// Credentials by OIDC and exec plug-ins, as kubectl has them.
	_ "k8s.io/client-go/plugin/pkg/client/auth"

	"github.com/teapot-cloud/teapot/cli"
)

func main() {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	os.Exit(cli.Main(context.Background(), os.Args, streams))
}
