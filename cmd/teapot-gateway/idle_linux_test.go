package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestIdleConnectionsAreCheap: a connection on which nothing is said costs less than 20 KiB.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const connections = 2000
	host, _ := tenant(t, "idle")
	g := startGateway(t, "--max-connections-per-tenant=3000")
	g.dial(t, host)
	before := g.anonymous(t)
	var conns []net.Conn
	for range connections {
		conns = append(conns, g.dial(t, host))
	}
	apiserver.Eventually(t, patience, "all to be in", func() error {
		if want := fmt.Sprintf(`teapot_gateway_connections{state="open"} %d`, connections+1); !strings.Contains(g.scrape(t), want) {
			return fmt.Errorf("no %s", want)
		}
		return nil
	})
	each := (g.anonymous(t) - before) / float64(len(conns))
	t.Logf("%.1f KiB for each of %d", each, len(conns))
	if each > 20 {
		t.Errorf("an idle connection costs %.1f KiB", each)
	}
}

// anonymous is the gateway's memory in KiB that is not of files.
func (g *gateway) anonymous(t *testing.T) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "RssAnon: %f kB", &kib); err == nil {
			return kib
		}
	}
	t.Fatalf("no RssAnon in\n%s", status)
	return 0
}
