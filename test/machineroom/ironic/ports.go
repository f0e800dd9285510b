package ironic

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// port is a network interface of a node.
type port struct {
	UUID       string     `json:"uuid"`
	Address    string     `json:"address"`
	NodeUUID   string     `json:"node_uuid"`
	PXEEnabled bool       `json:"pxe_enabled"`
	Extra      object     `json:"extra"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  *time.Time `json:"updated_at"`
}

// newPort returns a port.
func newPort(node, address string, pxe bool) port {
	return port{
		UUID: string(uuid.NewUUID()), Address: address, NodeUUID: node, PXEEnabled: pxe, Extra: object{}, CreatedAt: time.Now().UTC(),
	}
}

// listPorts answers GET /v1/ports and /v1/nodes/{node}/ports.
func (s *Server) listPorts(r *http.Request) (int, any, error) {
	query := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	var of []*entry
	ident := r.PathValue("node")
	for _, key := range []string{"node", "node_uuid"} {
		if ident == "" {
			ident = query.Get(key)
		}
	}
	address := strings.ToLower(query.Get("address"))
	switch {
	case ident != "":
		e, err := s.find(ident)
		if err != nil {
			return 0, nil, err
		}
		of = []*entry{e}
	case address != "":
		if e := s.nodes[s.ports[address]]; e != nil {
			of = []*entry{e}
		}
	default:
		for _, id := range s.uuids {
			of = append(of, s.nodes[id])
		}
	}
	list := []any{}
	for _, e := range of {
		for _, p := range e.NodePorts {
			if address != "" && p.Address != address {
				continue
			}
			item, err := project(p, fieldsOf(r))
			if err != nil {
				return 0, nil, err
			}
			list = append(list, item)
		}
	}
	return http.StatusOK, map[string]any{"ports": list}, nil
}

// createPort answers POST /v1/ports.
func (s *Server) createPort(r *http.Request) (int, any, error) {
	var body struct {
		NodeUUID   string `json:"node_uuid"`
		Address    string `json:"address"`
		PXEEnabled *bool  `json:"pxe_enabled"`
	}
	if err := decode(r, &body); err != nil {
		return 0, nil, err
	}
	if _, err := net.ParseMAC(body.Address); err != nil {
		return 0, nil, invalid("Expected a MAC address but received %s.", body.Address)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.nodes[body.NodeUUID]
	if e == nil {
		return 0, nil, invalid("Node %s could not be found.", body.NodeUUID)
	}
	address := strings.ToLower(body.Address)
	if s.ports[address] != "" {
		return 0, nil, conflict("A port with MAC address %s already exists.", address)
	}
	p := newPort(body.NodeUUID, address, body.PXEEnabled == nil || *body.PXEEnabled)
	e.NodePorts = append(slices.Clip(e.NodePorts), p)
	s.ports[address] = body.NodeUUID
	return http.StatusCreated, p, s.save(e)
}

// findPort returns a port by its UUID, and its node; s.mu is held.
func (s *Server) findPort(r *http.Request) (*entry, int, error) {
	for _, e := range s.nodes {
		for i, p := range e.NodePorts {
			if p.UUID == r.PathValue("port") {
				return e, i, nil
			}
		}
	}
	return nil, 0, refuse(http.StatusNotFound, "Port %s could not be found.", r.PathValue("port"))
}

// getPort answers GET /v1/ports/{port}.
func (s *Server) getPort(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, i, err := s.findPort(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, e.NodePorts[i], nil
}

// deletePort answers DELETE /v1/ports/{port}.
func (s *Server) deletePort(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, i, err := s.findPort(r)
	if err != nil {
		return 0, nil, err
	}
	delete(s.ports, e.NodePorts[i].Address)
	e.NodePorts = slices.Delete(slices.Clone(e.NodePorts), i, i+1)
	return http.StatusNoContent, nil, s.save(e)
}

// addPorts makes a port of each network interface that inspection found and that has none
// (Metal3's [inspector]add_ports=all, keep_ports=present); s.mu is held.
func (s *Server) addPorts(e *entry, hardware room.Hardware) {
	var ports []port
	for i, nic := range hardware.NICs {
		known := slices.IndexFunc(e.NodePorts, func(p port) bool { return p.Address == nic.MAC })
		switch owner := s.ports[nic.MAC]; {
		case known >= 0:
			ports = append(ports, e.NodePorts[known])
		case owner == "":
			ports = append(ports, newPort(e.Node.UUID, nic.MAC, i == 0))
			s.ports[nic.MAC] = e.Node.UUID
		}
	}
	for _, p := range e.NodePorts {
		if !slices.ContainsFunc(ports, func(kept port) bool { return kept.Address == p.Address }) {
			delete(s.ports, p.Address)
		}
	}
	e.NodePorts = ports
}
