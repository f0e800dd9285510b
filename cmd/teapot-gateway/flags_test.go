package main

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

func TestBadFlagsAreRefused(t *testing.T) {
	for _, tt := range []struct{ flag, want string }{
		{"--max-connections=0", "--max-connections: must be at least 1, not 0"},
		{"--max-connections-per-tenant=-1", "--max-connections-per-tenant: must be at least 1, not -1"},
		{"--max-hellos=0", "--max-hellos: must be at least 1"},
		{"--max-hellos-per-client=0", "--max-hellos-per-client: must be at least 1"},
		{"--hello-timeout=0s", "--hello-timeout: must be more than 0, not 0s"},
		{"--hold=-1s", "--hold: must be more than 0, not -1s"},
		{"--idle-timeout=0s", "--idle-timeout: must be more than 0"},
		{"--drain-delay=-1s", "must not be less than 0"},
		{"--kube-api-qps=0", "--kube-api-qps: must be more than 0, not 0"},
		{"--kube-api-burst=0", "--kube-api-burst: must be at least 1"},
		{"--proxy-protocol-from=192.0.2.1", `--proxy-protocol-from: "192.0.2.1" is not a range of addresses`},
		{"--pod-name=a/b", `--pod-name: "a/b" cannot be the name of a pod`},
		{"--log-format=xml", `--log-format: must be text or json, not "xml"`},
		{"--nonsense", "unknown flag: --nonsense"},
		{"nonsense", `there are no arguments but flags: "nonsense"`},
	} {
		if _, err := parse([]string{tt.flag}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.flag, err, tt.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Setenv("POD_NAME", "gateway-7")
	flags, err := parse([]string{"--proxy-protocol-from=192.0.2.7/24,2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	if flags.podName != "gateway-7" || len(flags.prefixes) != 2 || flags.prefixes[0].String() != "192.0.2.0/24" {
		t.Errorf("got pod %q, ranges %v", flags.podName, flags.prefixes)
	}
	// client-go gives a TLS handshake ten seconds; what is held longer fails for good.
	if flags.limits.Hold > 9*time.Second {
		t.Errorf("connections are held for %s", flags.limits.Hold)
	}
	t.Setenv("POD_NAME", "")
	if flags, err = parse(nil); err != nil || flags.podName == "" {
		t.Errorf("without a pod's name: %q, %v", flags.podName, err)
	}
}

func TestHelpHasExamples(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	standard := os.Stderr
	os.Stderr = writer
	_, failure := parse([]string{"--help"})
	os.Stderr = standard
	writer.Close()
	help, err := io.ReadAll(reader)
	if err != nil || failure == nil {
		t.Fatal(err, failure)
	}
	for _, want := range []string{"Examples:", "--proxy-protocol-from=192.0.2.0/24", "--hold duration"} {
		if !strings.Contains(string(help), want) {
			t.Errorf("--help does not have %q:\n%s", want, help)
		}
	}
}

// TestWithin: no more connections are let in than there are descriptors for.
func TestWithin(t *testing.T) {
	for _, tt := range []struct{ files, connections, want int }{
		{100000, 20000, 20000}, {41024, 20000, 20000}, {41022, 20000, 19999}, {1024, 20000, 1}, {0, 20000, 20000},
	} {
		if got := within(tt.files, tt.connections, logr.Discard()); got != tt.want {
			t.Errorf("%d files, %d connections: got %d, want %d", tt.files, tt.connections, got, tt.want)
		}
	}
}
