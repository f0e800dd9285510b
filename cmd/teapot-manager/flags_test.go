package main

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
)

func TestBadFlagsAreRefused(t *testing.T) {
	for _, tt := range []struct{ flag, want string }{
		{"--node-port-address=node.example.org", `--node-port-address: "node.example.org" is not an IP address`},
		{"--max-concurrent-reconciles=0", "--max-concurrent-reconciles: must be at least 1, not 0"},
		{"--log-format=xml", `--log-format: must be text or json, not "xml"`},
		{"--watch-namespaces=a,B", `--watch-namespaces: "B" is not the name of a namespace`},
		{"--watch-namespaces=a,", `--watch-namespaces: "" is not the name of a namespace`},
		{"--nonsense", "unknown flag: --nonsense"},
	} {
		if _, err := parse([]string{tt.flag}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.flag, err, tt.want)
		}
	}
}

func TestLogsAsJSON(t *testing.T) {
	flags, err := parse([]string{"--log-format=json", "-v=2"})
	if err != nil {
		t.Fatal(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	standard := os.Stderr
	os.Stderr = writer
	logger := flags.logs.Logger()
	os.Stderr = standard
	logger.V(2).Info("said", "name", "acme")
	logger.V(3).Info("not said")
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	line := map[string]any{}
	if err := json.Unmarshal(out, &line); err != nil || line["msg"] != "said" || line["name"] != "acme" {
		t.Errorf("logged %q, %v; want one object", out, err)
	}
}
