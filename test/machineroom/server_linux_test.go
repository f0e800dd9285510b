package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// run serves a room without an operating system, and returns where Ironic's API is and what ends
// it.
func run(t *testing.T, dir string) (url string, end func()) {
	t.Helper()
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, dir, "", api, slog.New(slog.DiscardHandler)) }()
	deadline := time.After(20 * time.Second)
	for {
		if _, err := (control.Client{Dir: dir}).List(t.Context()); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the server ended: %v", err)
		case <-deadline:
			t.Fatal("the server does not answer")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return "http://" + api.Addr().String(), func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
}

func TestARoomThatGrewStaysSo(t *testing.T) {
	dir := t.TempDir()
	if err := (room.Settings{Machines: 2, NoBoot: true}).Save(dir); err != nil {
		t.Fatal(err)
	}
	// What a killed server leaves.
	if err := os.WriteFile(control.Socket(dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	url, end := run(t, dir)
	resp, err := http.Get(url + "/v1/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("Ironic's API answers with %s", resp.Status)
	}
	if info, err := os.Stat(control.Socket(dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket, which tells passwords, has mode %v, %v", info.Mode(), err)
	}
	client := control.Client{Dir: dir}
	before, err := client.Get(t.Context(), "machine-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Grow(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	if err := client.Grow(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := client.SetFolders(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	end()

	_, end = run(t, dir)
	defer end()
	machines, err := client.List(t.Context())
	if err != nil || len(machines) != 7 {
		t.Fatalf("after a restart there are %d machines, %v; want 5 and 2 folders", len(machines), err)
	}
	if machines[1].BMC != before.BMC {
		t.Errorf("after a restart the management controller is %+v, was %+v", machines[1].BMC, before.BMC)
	}
}

func TestDownLeavesNothingButImages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "room")
	if err := (room.Settings{Machines: 1, NoBoot: true}).Save(dir); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(imagesDir(dir), "debian")
	if err := os.MkdirAll(image, 0o755); err != nil {
		t.Fatal(err)
	}
	_, end := run(t, dir)
	end()
	for range 2 { // as after a removal that was interrupted
		if err := down(t.Context(), dir, false); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "images" {
		t.Errorf("after down there is %v, %v", left, err)
	}
	if err := down(t.Context(), dir, true); err != nil {
		t.Fatal(err)
	}
	left, err = os.ReadDir(filepath.Dir(dir))
	if err != nil || len(left) != 0 {
		t.Errorf("after down --images there is %v, %v", left, err)
	}
}
