package thousand

import (
	"net"

	"github.com/teapot-cloud/teapot/test/bench/process"
)

// Ports of the manager, on the room's own address.
const (
	metricsPort = "8443"
	healthPort  = "8081"
)

// startManager starts the manager with its defaults, but for where it listens, how it reaches
// its tenants, and that it needs not be elected: on a computer that is busy with other things
// it would lose the election and end.
func startManager(binary, kubeconfig, address, log string) (*process.Process, error) {
	return startProcess("the manager", kubeconfig, log, binary,
		"--leader-elect=false",
		"--metrics-bind-address="+net.JoinHostPort(address, metricsPort),
		"--health-probe-bind-address="+net.JoinHostPort(address, healthPort),
		"--node-port-address="+address)
}

// startProcess starts a program that works by a kubeconfig and writes to a log.
func startProcess(name, kubeconfig, log string, arguments ...string) (*process.Process, error) {
	return process.Start(name, log, []string{"KUBECONFIG=" + kubeconfig, "POD_NAMESPACE=" + namespace}, arguments...)
}
