package konnectivity

import (
	"strconv"
	"time"
)

const (
	// ServerAdminPort serves profiles, if asked for, on the loopback address alone. The
	// server does not run without this port.
	ServerAdminPort = 8133

	// ServerHealthPath is the path of a probe of the server's health port. /readyz is not
	// for probes: it fails while no agent is connected, and a control plane without
	// machines is ready all the same.
	ServerHealthPath = "/healthz"

	// serverKeepalive is after how much silence the server asks an agent whether it is
	// still there. By upstream's default of one hour, calls go to a machine that lost
	// power for as long.
	serverKeepalive = 30 * time.Second
)

// Server is what the server's arguments are made from. Paths are those inside its
// container.
type Server struct {
	// Socket is the Unix domain socket on which kube-apiserver is served: a path, or a name
	// that begins with @ for one in the abstract namespace. One with a path is made with
	// umask 0007, so kube-apiserver must run as the same user or group.
	Socket string
	// CertFile and KeyFile are what is shown to agents.
	CertFile string
	KeyFile  string
	// Kubeconfig is how the server reaches kube-apiserver, as ServerUser, to have agents'
	// tokens reviewed. It is read at start and used when an agent comes.
	Kubeconfig string
	// AgentPort is where agents come, HealthPort where probes and metrics do. Both are
	// bound on all addresses, and must be below 49152.
	AgentPort  int32
	HealthPort int32
	// Replicas is the number of control-plane pods. Each tells it to its agents, which
	// then dial until they are connected to so many different servers.
	Replicas int32
}

// Args returns the server's arguments.
func (s Server) Args() []string {
	return []string{
		"--logtostderr=true",
		"--mode=grpc",
		"--uds-name=" + s.Socket,
		// With a socket there must be no port for kube-apiserver.
		"--server-port=0",
		"--server-count=" + decimal(s.Replicas),
		"--cluster-cert=" + s.CertFile,
		"--cluster-key=" + s.KeyFile,
		"--agent-port=" + decimal(s.AgentPort),
		"--agent-namespace=" + AgentNamespace,
		"--agent-service-account=" + AgentServiceAccount,
		"--authentication-audience=" + Audience,
		"--kubeconfig=" + s.Kubeconfig,
		"--keepalive-time=" + serverKeepalive.String(),
		"--health-port=" + decimal(s.HealthPort),
		"--admin-bind-address=127.0.0.1",
		"--admin-port=" + decimal(ServerAdminPort),
	}
}

func decimal(n int32) string { return strconv.FormatInt(int64(n), 10) }
