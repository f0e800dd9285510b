package ironic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// syncRetries is how often in a row a power state may be unreadable before the node gets a fault
// (Ironic's [conductor]power_state_sync_max_retries).
const syncRetries = 3

// powerText is a power state as the API has it.
func powerText(on bool) text {
	if on {
		return powerOn
	}
	return powerOff
}

// driverInfo returns what a node's driver_info says about its management controller.
func driverInfo(n *Node) (address, system, user, password string) {
	get := func(key string) string {
		value, _ := n.DriverInfo[n.Driver+"_"+key].(string)
		return value
	}
	return get("address"), get("system_id"), get("username"), get("password")
}

// validateDriverInfo says what a node's driver_info lacks; "" if it has all.
func validateDriverInfo(n *Node) string {
	address, system, _, _ := driverInfo(n)
	var lacks []string
	if address == "" {
		lacks = append(lacks, n.Driver+"_address")
	}
	if n.Driver == "redfish" && system == "" {
		lacks = append(lacks, "redfish_system_id")
	}
	if len(lacks) == 0 {
		return ""
	}
	return fmt.Sprintf("Missing parameters in driver_info for node %s: %s.", n.UUID, strings.Join(lacks, ", "))
}

// logIn finds the machine whose management controller a node names, and logs in to it.
func (s *Server) logIn(n *Node) (*room.Machine, error) {
	if reason := validateDriverInfo(n); reason != "" {
		return nil, errors.New(reason)
	}
	address, system, user, password := driverInfo(n)
	host := address
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host = u.Hostname()
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, fmt.Errorf("unable to connect to %s: %w", address, err)
	}
	m := s.room.ByBMC(ip)
	if m == nil {
		return nil, fmt.Errorf("unable to connect to %s: no machine of the room has this management controller", address)
	}
	if n.Driver == "redfish" && system != m.SystemPath() {
		return nil, fmt.Errorf("HTTP GET %s%s returned code 404: the management controller has %s", address, system, m.SystemPath())
	}
	if err := m.LogIn(user, password); err != nil {
		return nil, fmt.Errorf("HTTP GET %s%s returned code 401: %w", address, system, err)
	}
	return m, nil
}

// readPower asks a node's management controller whether the machine is powered.
func (s *Server) readPower(n *Node) (*room.Machine, bool, error) {
	m, err := s.logIn(n)
	if err != nil {
		return nil, false, err
	}
	on, err := m.On()
	return m, on, err
}

// setPowerState answers PUT /v1/nodes/{node}/states/power.
func (s *Server) setPowerState(r *http.Request) (int, any, error) {
	var body struct {
		Target  string `json:"target"`
		Timeout int    `json:"timeout"`
	}
	if err := decode(r, &body); err != nil {
		return 0, nil, err
	}
	if !slices.Contains([]string{powerOn, powerOff, softPowerOff, rebooting, softRebooting}, body.Target) {
		return 0, nil, invalid("The requested target power state \"%s\" is not known.", body.Target)
	}
	if body.Timeout < 0 {
		return 0, nil, invalid("timeout has to be positive integer")
	}
	limit := s.opts.PowerTimeout
	if body.Timeout > 0 {
		limit = time.Duration(body.Timeout) * time.Second
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.unlocked(r.PathValue("node"))
	if err != nil {
		return 0, nil, err
	}
	switch e.Node.ProvisionState {
	case cleanWait, inspectWait, deployWait:
		return 0, nil, invalid("The requested action \"%s\" can not be performed on node \"%s\" while it is in state \"%s\".",
			body.Target, e.Node.UUID, e.Node.ProvisionState)
	}
	if err := s.change(e, func(n *Node) {
		n.LastError = ""
		switch body.Target {
		case rebooting, softRebooting, powerOn:
			n.TargetPowerState = powerOn
		default:
			n.TargetPowerState = powerOff
		}
	}); err != nil {
		return 0, nil, err
	}
	s.start(e, changePower(s, body.Target, limit))
	return http.StatusAccepted, nil, nil
}

// changePower changes a machine's power. Whatever becomes of it, the node keeps its provision
// state.
func changePower(s *Server, target string, limit time.Duration) worker {
	return func(ctx context.Context, j *job) {
		node := j.record().Node
		timed, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("timed out after %d secs waiting for %s on node %s", int(limit.Seconds()), target, node.UUID))
		defer cancel()
		m, err := s.logIn(&node)
		if err == nil {
			switch target {
			case powerOn:
				err = m.SetPower(timed, true, false)
			case powerOff, softPowerOff:
				err = m.SetPower(timed, false, target == powerOff)
			case rebooting, softRebooting:
				if err = m.SetPower(timed, false, target == rebooting); err == nil {
					err = m.SetPower(timed, true, false)
				}
			}
		}
		if ended(ctx) {
			return
		}
		var state text
		if m != nil {
			if on, readErr := m.On(); readErr == nil {
				state = powerText(on)
			}
		}
		j.to(node.ProvisionState, state, func(n *Node) {
			n.TargetProvisionState, n.TargetPowerState = node.TargetProvisionState, ""
			if err != nil {
				n.LastError = text(fmt.Sprintf("Failed to change power state to '%s'. Error: %s", target, err))
			}
		})
	}
}

// syncPower reads power states until the server ends.
func (s *Server) syncPower() {
	ticker := time.NewTicker(s.opts.PowerSync)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		uuids := slices.Clone(s.uuids)
		s.mu.Unlock()
		for _, uuid := range uuids {
			s.syncNode(uuid)
		}
	}
}

// syncNode reads one node's power state and writes it if it changed. A node whose management
// controller does not answer gets a fault, and loses it once it does.
func (s *Server) syncNode(uuid string) {
	s.mu.Lock()
	e := s.nodes[uuid]
	if e == nil || !e.synced() {
		s.mu.Unlock()
		return
	}
	node, job := e.Node, e.job
	s.mu.Unlock()

	_, on, err := s.readPower(&node)

	s.mu.Lock()
	defer s.mu.Unlock()
	// Somebody may have worked on the node meanwhile: then what was read is old.
	if s.nodes[uuid] != e || e.job != job || !e.synced() || s.ctx.Err() != nil {
		return
	}
	if err := s.recordPower(e, on, err); err != nil {
		s.log.Error("a node could not be saved", "node", uuid, "error", err)
	}
}

// synced says whether a node's power state is to be read: it is not while somebody works on it,
// nor of a node that was never reached. A node in maintenance is left alone unless that is for
// its power state.
func (e *entry) synced() bool {
	switch e.Node.ProvisionState {
	case enroll, deployWait, cleanWait, inspectWait:
		return false
	}
	return !e.locked() && (!e.Node.Maintenance || e.Node.Fault == powerFailure)
}

// recordPower writes what reading a power state gave; s.mu is held.
func (s *Server) recordPower(e *entry, on bool, err error) error {
	if err == nil {
		e.powerFailures = 0
		if e.Node.PowerState == powerText(on) && e.Node.Fault == "" {
			return nil
		}
		s.log.Info("a node's power changed by itself", "node", e.Node.Name, "machine", e.Machine,
			"from", string(e.Node.PowerState), "to", string(powerText(on)))
		return s.change(e, func(n *Node) {
			n.PowerState = powerText(on)
			if n.Fault == powerFailure {
				n.Fault, n.Maintenance, n.MaintenanceReason = "", false, ""
			}
		})
	}
	e.powerFailures++
	if e.powerFailures < syncRetries || e.Node.Fault == powerFailure {
		return nil
	}
	message := fmt.Sprintf("During sync_power_state, max retries exceeded for node %s, node state %s does not match expected state '%s'. "+
		"Updating DB state to 'None' Switching node to maintenance mode. Error: %s", e.Node.UUID, "None", string(e.Node.PowerState), err)
	return s.change(e, func(n *Node) {
		n.PowerState, n.LastError = "", text(message)
		n.Maintenance, n.MaintenanceReason, n.Fault = true, text(message), powerFailure
	})
}
