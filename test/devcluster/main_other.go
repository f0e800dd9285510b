//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "the development cluster needs Linux; elsewhere use a cluster of yours, such as kind: CLUSTER=existing make demo")
	os.Exit(1)
}
