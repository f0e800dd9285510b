//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "error: podroutes runs on Linux")
	os.Exit(1)
}
