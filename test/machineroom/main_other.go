//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "the machine room needs Linux; elsewhere Teapot hosts control planes without machines of its own")
	os.Exit(1)
}
