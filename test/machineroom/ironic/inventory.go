package ironic

import (
	"fmt"
	"net/http"

	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// getInventory answers GET /v1/nodes/{node}/inventory: what inspection found.
func (s *Server) getInventory(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(r.PathValue("node"))
	if err != nil {
		return 0, nil, err
	}
	if e.Inventory == nil {
		return 0, nil, refuse(http.StatusNotFound, "Node %s has no inventory", e.Node.UUID)
	}
	id := room.Identity{}
	if m := s.room.Machine(e.Machine); m != nil {
		id = m.Identity
	}
	return http.StatusOK, inventory(id, *e.Inventory), nil
}

// inventory is hardware in the words of ironic-python-agent.
func inventory(id room.Identity, h room.Hardware) map[string]any {
	disks := []any{}
	for _, d := range h.Disks {
		disks = append(disks, map[string]any{
			"name": d.Name, "model": d.Model, "size": d.Bytes, "rotational": d.Rotational, "serial": d.Serial, "vendor": "",
			"wwn": nil, "wwn_with_extension": nil, "wwn_vendor_extension": nil, "hctl": nil,
			"by_path": nil,
		})
	}
	interfaces := []any{}
	all, lldp, macs := map[string]any{}, map[string]any{}, []string{}
	for i, nic := range h.NICs {
		address := ""
		if i == 0 && id.Address.IsValid() {
			address = id.Address.Addr().String()
		}
		item := map[string]any{
			"name": nic.Name, "mac_address": nic.MAC, "ipv4_address": address, "ipv6_address": "", "has_carrier": true,
			"vendor": "", "product": nic.Model, "speed_mbps": nic.Mbps, "client_id": nil, "biosdevname": nil,
			"pci_address": fmt.Sprintf("0000:3b:00.%d", i),
		}
		interfaces = append(interfaces, item)
		processed := map[string]any{"pxe_enabled": i == 0}
		for k, v := range item {
			processed[k] = v
		}
		all[nic.Name] = processed
		lldp[nic.Name] = map[string]any{"switch_system_name": switchOf(id.Index), "switch_port_id": fmt.Sprintf("Ethernet%d/%d", id.Index%rackSize+1, i+1)}
		macs = append(macs, nic.MAC)
	}
	devices := []any{}
	for i, g := range h.GPUs {
		devices = append(devices, map[string]any{"vendor_id": g.VendorID, "product_id": g.ProductID, "bus": fmt.Sprintf("0000:%02x:00.0", 0x40+i)})
	}
	return map[string]any{
		"inventory": map[string]any{
			"bmc_address": id.BMCAddress.String(), "hostname": id.Name,
			"boot":       map[string]any{"current_boot_mode": "uefi", "pxe_interface": h.NICs[0].MAC},
			"cpu":        map[string]any{"architecture": h.CPU.Arch, "model_name": h.CPU.Model, "count": h.CPU.Count, "frequency": fmt.Sprint(h.CPU.MHz), "flags": []string{}},
			"memory":     map[string]any{"physical_mb": h.MemoryMiB, "total": int64(h.MemoryMiB) << 20},
			"disks":      disks,
			"interfaces": interfaces,
			"system_vendor": map[string]any{
				"manufacturer": h.Manufacturer, "product_name": h.Product, "serial_number": h.Serial,
				"firmware": map[string]any{"vendor": h.Manufacturer, "version": h.BIOSVersion, "build_date": "03/14/2026"},
			},
		},
		"plugin_data": map[string]any{
			"all_interfaces": all, "valid_interfaces": all, "boot_interface": h.NICs[0].MAC, "macs": macs, "parsed_lldp": lldp,
			"root_disk": disks[0], "pci_devices": devices,
		},
	}
}

// rackSize is how many machines share a switch.
const rackSize = 32

// switchOf is the name of the switch at the top of a machine's rack.
func switchOf(index int) string { return fmt.Sprintf("tor-%d", index/rackSize) }

// reached returns the hardware of a node whose management controller was reached, and whether that
// is so. Its firmware can be read from then on.
func (s *Server) reached(r *http.Request) (e *entry, h room.Hardware, ok bool, err error) {
	if e, err = s.find(r.PathValue("node")); err != nil {
		return nil, room.Hardware{}, false, err
	}
	if m := s.room.Machine(e.Machine); m != nil {
		return e, m.Hardware, true, nil
	}
	return e, room.Hardware{}, false, nil
}

// listBIOS answers GET /v1/nodes/{node}/bios: settings as Redfish names them. They can be set by
// manual cleaning, which then changes nothing. What values they may have differs with the model and
// the version, as it does on servers: the operator keeps one FirmwareSchema for all hosts with the
// same, and writes each of these to it as an owner.
func (s *Server) listBIOS(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, h, ok, err := s.reached(r)
	if err != nil {
		return 0, nil, err
	}
	list := []any{}
	setting := func(name, value string, values ...string) map[string]any {
		s := map[string]any{
			"name": name, "value": value, "attribute_type": "Enumeration", "allowable_values": values,
			"lower_bound": nil, "upper_bound": nil, "min_length": nil, "max_length": nil,
			"read_only": false, "reset_required": true, "unique": false,
		}
		list = append(list, s)
		return s
	}
	if ok {
		setting("BootMode", "Uefi", "Uefi", "Bios")
		setting("ProcVirtualization", "Enabled", "Enabled", "Disabled")
		setting("SriovGlobalEnable", "Disabled", "Enabled", "Disabled")
		setting("FirmwareRollback", "Disabled", "Disabled", h.BIOSVersion)
		threads := setting("ProcThreads", fmt.Sprint(h.CPU.Count))
		threads["attribute_type"], threads["lower_bound"], threads["upper_bound"] = "Integer", 1, h.CPU.Count
	}
	return http.StatusOK, map[string]any{"bios": list}, nil
}

// listFirmware answers GET /v1/nodes/{node}/firmware.
func (s *Server) listFirmware(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, h, ok, err := s.reached(r)
	if err != nil {
		return 0, nil, err
	}
	list := []any{}
	if ok {
		for _, c := range []struct{ component, version string }{{"bios", h.BIOSVersion}, {"bmc", h.BMCVersion}} {
			list = append(list, map[string]any{
				"component": c.component, "initial_version": c.version, "current_version": c.version,
				"last_version_flashed": nil, "created_at": e.Node.CreatedAt, "updated_at": nil,
			})
		}
	}
	return http.StatusOK, map[string]any{"firmware": list}, nil
}
