package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCountWritten(t *testing.T) {
	line := func(user, verb, object, at, rest string) string {
		return `{"kind":"Event","stage":"ResponseComplete","verb":"` + verb + `","user":{"username":"` + user + `"},"objectRef":{` + object +
			`},"requestReceivedTimestamp":"2026-11-21T15:` + at + `Z"` + rest + "}\n"
	}
	const (
		us     = "system:serviceaccount:teapot-system:teapot-manager"
		claim  = `"resource":"machineclaims","namespace":"hosts","name":"a"`
		status = `"resource":"machineclaims","namespace":"hosts","name":"a","subresource":"status"`
	)
	log := line(us, "patch", claim, "00:00.500000", `,"responseStatus":{"code":200}`) +
		line(us, "patch", claim, "00:00.600000", `,"responseStatus":{"code":200}`) +
		line(us, "patch", claim, "00:00.700000", `,"responseStatus":{"code":409}`) +
		line(us, "patch", status, "00:01.000000", "") +
		line(us, "create", `"resource":"events","namespace":"hosts"`, "00:01.000000", "") +
		// What does not count: reads, others' writes, other namespaces, no object, other times.
		line(us, "get", claim, "00:01.000000", "") +
		line(us, "watch", claim, "00:01.000000", "") +
		line("system:serviceaccount:bmo:manager", "update", claim, "00:01.000000", "") +
		line("kubernetes-admin", "patch", `"resource":"machineclaims","namespace":"hosts","name":":teapot-manager"`, "00:01.000000", "") +
		line(us, "patch", `"resource":"machineclaims","namespace":"acme","name":"a"`, "00:01.000000", "") +
		line(us, "update", `"resource":"leases","namespace":"teapot-system"`, "00:01.000000", "") +
		strings.ReplaceAll(line(us, "create", "", "00:01.000000", ""), `"objectRef":{},`, "") +
		line(us, "patch", claim, "00:00.499999", "") +
		line(us, "patch", claim, "00:02.000000", "") +
		strings.ReplaceAll(line(us, "patch", claim, "00:01.000000", ""), "ResponseComplete", "ResponseStarted") +
		`{"kind":"Event","user":{"username":"` + us + `"},"ver` // half written
	at := func(s string) time.Time {
		parsed, err := time.Parse(time.RFC3339Nano, "2026-11-21T15:"+s+"Z")
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	counted := written{}
	in := window{from: at("00:00.5"), to: at("00:02"), namespaces: []string{"hosts", "claims"}}
	if err := countWritten(strings.NewReader(log), in, counted); err != nil {
		t.Fatal(err)
	}
	want := written{"patch machineclaims": 2, "patch machineclaims 409": 1, "patch machineclaims/status": 1, "create events": 1}
	if diff := cmp.Diff(want, counted); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if counted.sum() != 5 {
		t.Errorf("the sum is %d, want 5", counted.sum())
	}
	reader := strings.NewReader(log)
	if first, err := firstTime(reader); err != nil || !first.Equal(at("00:00.5")) || reader.Len() != len(log) {
		t.Errorf("the first line is of %s, %v; %d of %d bytes are left", first, err, reader.Len(), len(log))
	}
}
