package konnectivity

import (
	"fmt"
	"net"
	"time"
)

const (
	// AgentHealthPort serves probes and metrics, AgentAdminPort profiles; they are upstream's
	// ports. An agent shares its machine's network, so both are on the loopback address alone.
	AgentHealthPort = 8093
	AgentAdminPort  = 8094

	// agentKeepalive is after how much silence an agent asks the server whether it is still
	// there. The server hangs up on an agent that asks more often than every 30 s.
	agentKeepalive = time.Minute
)

// Agent is what the agents' arguments and objects are made from.
type Agent struct {
	// Host is the IP address or DNS name by which machines reach the server. The server's
	// certificate must be valid for it.
	Host string
	// Port is the port by which machines reach the server.
	Port int32
	// TokenFile and CAFile are the agent's service-account token for Audience and the
	// certificate that the server is trusted by. Default: where Objects mounts them.
	TokenFile string
	CAFile    string
}

// Args returns an agent's arguments.
//
// --sync-forever is left out: with it an agent that has all its connections goes on
// dialling every second. It is not needed, because a change of the number of servers
// changes their arguments, all of them restart, and agents learn the number when they
// connect again.
func (a Agent) Args() []string {
	token, ca := a.TokenFile, a.CAFile
	if token == "" {
		token = agentCredentials + "/" + tokenName
	}
	if ca == "" {
		ca = agentCredentials + "/" + caName
	}
	return []string{
		"--logtostderr=true",
		"--ca-cert=" + ca,
		"--service-account-token-path=" + token,
		"--proxy-server-host=" + a.Host,
		"--proxy-server-port=" + decimal(a.Port),
		"--keepalive-time=" + agentKeepalive.String(),
		"--health-server-host=127.0.0.1",
		"--health-server-port=" + decimal(AgentHealthPort),
		"--admin-bind-address=127.0.0.1",
		"--admin-server-port=" + decimal(AgentAdminPort),
	}
}

// validate refuses what an agent could not dial.
func (a Agent) validate() error {
	if a.Host == "" {
		return fmt.Errorf("konnectivity agent: the host of the server is not known")
	}
	if _, _, err := net.SplitHostPort(a.Host); err == nil {
		return fmt.Errorf("konnectivity agent: host %q must come without a port", a.Host)
	}
	if a.Port < 1 || a.Port > 65535 {
		return fmt.Errorf("konnectivity agent: port %d of the server is not between 1 and 65535", a.Port)
	}
	return nil
}
