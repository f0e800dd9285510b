package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metal3 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/ironic"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// start serves a room of folders, and returns who talks to it.
func start(t *testing.T, machines int) (control.Client, *room.Room, http.Handler) {
	t.Helper()
	dir := t.TempDir()
	r, err := room.Open(dir, machines, func(_ room.Identity, dir string) (room.Computer, error) { return room.Folder{Dir: dir}, nil })
	if err != nil {
		t.Fatal(err)
	}
	i, err := ironic.New(r, filepath.Join(dir, "nodes"), ironic.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", control.Socket(dir))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: control.Handler(r, i, r.Grow, r.SetFolders)}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		i.Close()
	})
	return control.Client{Dir: dir}, r, i.Handler()
}

func TestClient(t *testing.T) {
	c, r, _ := start(t, 2)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Grow(t.Context(), 3))
	must(c.Grow(t.Context(), 1))
	list, err := c.List(t.Context())
	must(err)
	if len(list) != 3 || len(r.Machines()) != 3 {
		t.Fatalf("there are %d machines, want 3", len(list))
	}
	must(c.Fail(t.Context(), "machine-1", "fail-clean"))
	must(c.Power(t.Context(), "machine-1", control.PowerOn))
	m, err := c.Get(t.Context(), "machine-1")
	must(err)
	if m.Faults != "fail-clean" || !m.Power || m.Boots != room.FromRamdisk || m.Node != nil {
		t.Errorf("the machine is %+v", m)
	}
	must(c.Power(t.Context(), "machine-1", control.PowerCut))
	must(c.Fail(t.Context(), "machine-1", "none"))
	if m, err = c.Get(t.Context(), "machine-1"); err != nil || m.Power || m.Faults != "" {
		t.Errorf("the machine is %+v, %v", m, err)
	}
	for name, err := range map[string]error{
		"among the 3 of the room": c.Power(t.Context(), "machine-7", control.PowerOn),
		"must be on, off or cut":  c.Power(t.Context(), "machine-1", "maybe"),
		"fault \"burn\"":          c.Fail(t.Context(), "machine-1", "burn"),
		"machineroom up":          control.Client{Dir: t.TempDir()}.Grow(context.Background(), 1),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q in it", err, name)
		}
	}
}

// enrol makes a node of a machine, as baremetal-operator does, and returns its id.
func enrol(t *testing.T, api http.Handler, m control.Machine) string {
	t.Helper()
	address, path, _ := strings.Cut(strings.TrimPrefix(m.BMC.Address, "redfish-virtualmedia://"), "/")
	said := ask(t, api, http.MethodPost, "/v1/nodes", fmt.Sprintf(`{"name": "metal~%s", "driver": "redfish", "boot_interface": "redfish-virtual-media",
		"driver_info": {"redfish_address": "https://%s", "redfish_system_id": "/%s", "redfish_username": %q, "redfish_password": %q}}`,
		m.Name, address, path, m.BMC.User, m.BMC.Password))
	var node struct{ UUID string }
	if err := json.Unmarshal(said, &node); err != nil {
		t.Fatal(err)
	}
	ask(t, api, http.MethodPut, "/v1/nodes/"+node.UUID+"/states/provision", `{"target": "manage"}`)
	return node.UUID
}

// ask sends a request to Ironic's API.
func ask(t *testing.T, api http.Handler, method, path, body string) []byte {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	request.Header.Set("X-OpenStack-Ironic-API-Version", "1.89")
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	api.ServeHTTP(answer, request)
	if answer.Code >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
	return answer.Body.Bytes()
}

// Folders come and go, and are no hosts unless somebody makes them so.
func TestFolders(t *testing.T) {
	c, r, api := start(t, 2)
	if err := c.SetFolders(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	list, err := c.List(t.Context())
	if err != nil || len(list) != 5 {
		t.Fatalf("there are %d machines, %v; want 5", len(list), err)
	}
	folder := list[4]
	if folder.Name != "machine-32770" || folder.BMC.Address != "redfish-virtualmedia://198.18.128.2/redfish/v1/Systems/machine-32770" {
		t.Errorf("the last one is %s at %s", folder.Name, folder.BMC.Address)
	}
	var out bytes.Buffer
	if err := control.WriteHosts(&out, "metal", list); err != nil {
		t.Fatal(err)
	}
	if hosts := strings.Count(out.String(), "kind: BareMetalHost\n"); hosts != 2 {
		t.Errorf("there are manifests of %d hosts, want 2", hosts)
	}
	if err := c.Power(t.Context(), folder.Name, control.PowerOn); err != nil {
		t.Error(err)
	}
	node := "/v1/nodes/" + enrol(t, api, folder)
	for known := false; !known; { // Ironic learns which machine it is when it logs in
		if folder, err = c.Get(t.Context(), folder.Name); err != nil {
			t.Fatal(err)
		}
		known = folder.Node != nil && folder.Node.ProvisionState == "manageable"
	}
	if err := c.SetFolders(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "1 of the folders to be removed are hosts") {
		t.Errorf("a host is removed: %v", err)
	}
	ask(t, api, http.MethodDelete, node, "")
	if err := c.SetFolders(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if machines := r.Machines(); len(machines) != 3 || r.Machine(folder.Name) != nil {
		t.Errorf("there are %d machines, want 3; %s is %v", len(machines), folder.Name, r.Machine(folder.Name))
	}
	if _, err := os.Stat(folder.Dir); !os.IsNotExist(err) {
		t.Errorf("the folder of %s is still there: %v", folder.Name, err)
	}
	if err := c.SetFolders(t.Context(), -1); err == nil {
		t.Error("a negative number is taken")
	}
}

func TestHosts(t *testing.T) {
	c, _, _ := start(t, 7)
	machines, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := control.WriteHosts(&out, "metal", machines); err != nil {
		t.Fatal(err)
	}
	zones := map[string]bool{}
	hosts := 0
	for _, document := range strings.Split(out.String(), "---\n") {
		if !strings.Contains(document, "kind: BareMetalHost\n") {
			continue
		}
		var host metal3.BareMetalHost
		if err := yaml.UnmarshalStrict([]byte(document), &host); err != nil {
			t.Fatal(err)
		}
		m := machines[hosts]
		hosts++
		zones[host.Labels["infrastructure.cluster.x-k8s.io/failure-domain"]] = true
		if host.Namespace != "metal" || host.Name != m.Name || host.Spec.BootMACAddress != m.MAC || host.Spec.BMC.Address != m.BMC.Address || strings.Contains(document, "status") {
			t.Errorf("the host of %s is %s", m.Name, document)
		}
		if gpus := host.Labels["gpu.teapot.dev/count"]; (gpus != "") != (len(m.Hardware.GPUs) > 0) {
			t.Errorf("%s has %d accelerators, its label says %q", m.Name, len(m.Hardware.GPUs), gpus)
		}
	}
	if hosts != 7 || len(zones) != 3 || strings.Count(out.String(), "kind: Secret\n") != 7 {
		t.Errorf("%d hosts in zones %v", hosts, zones)
	}
}
