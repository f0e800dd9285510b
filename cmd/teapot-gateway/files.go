package main

import (
	"syscall"

	"github.com/go-logr/logr"
)

// spareFiles are descriptors for other things than users' connections: listeners, the management
// cluster, API servers that are asked whether they are ready, and pipes.
const spareFiles = 1024

// openFiles is how many descriptors this process may have. Go raises it as far as it may at start.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}

// within is how many connections, of two descriptors each, there may be with so many descriptors.
func within(files, connections int, log logr.Logger) int {
	possible := (files - spareFiles) / 2
	if files == 0 || connections <= possible {
		return connections
	}
	possible = max(possible, 1)
	log.Info("fewer connections are possible than --max-connections: raise the limit of open files", "connections", possible, "files", files)
	return possible
}
