package ironic

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// maxLimit is how many nodes a page has at most (Ironic's [api]max_limit).
const maxLimit = 1000

// getNode answers GET /v1/nodes/{node}.
func (s *Server) getNode(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(r.PathValue("node"))
	if err != nil {
		return 0, nil, err
	}
	body, err := project(e.shown(), fieldsOf(r))
	return http.StatusOK, body, err
}

// fieldsOf returns the fields that the client wants; none are all.
func fieldsOf(r *http.Request) []string {
	var fields []string
	for _, value := range r.URL.Query()["fields"] {
		fields = append(fields, strings.Split(value, ",")...)
	}
	return fields
}

// project returns the wanted fields of something.
func project(of any, fields []string) (any, error) {
	if len(fields) == 0 {
		return of, nil
	}
	data, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	var all, some map[string]json.RawMessage = nil, map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for _, f := range fields {
		if _, known := all[f]; !known {
			return nil, invalid("Field(s) \"%s\" are not valid", f)
		}
		some[f] = all[f]
	}
	return some, nil
}

// briefFields are what a list without detail has of each node.
var briefFields = []string{"instance_uuid", "links", "maintenance", "name", "power_state", "provision_state", "uuid"}

// listNodes answers GET /v1/nodes and /v1/nodes/detail.
func (s *Server) listNodes(r *http.Request) (int, any, error) {
	query := r.URL.Query()
	fields := fieldsOf(r)
	detail := strings.HasSuffix(r.URL.Path, "/detail") || query.Get("detail") == "True" || query.Get("detail") == "true"
	if len(fields) == 0 && !detail {
		fields = briefFields
	}
	limit := maxLimit
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return 0, nil, invalid("Limit must be positive")
		}
		if n > 0 {
			limit = min(n, maxLimit)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	start := 0
	if marker := query.Get("marker"); marker != "" {
		start = slices.Index(s.uuids, marker) + 1
		if start == 0 {
			return 0, nil, missing(marker)
		}
	}
	page := []any{}
	last := ""
	body := map[string]any{}
	for _, id := range s.uuids[start:] {
		n := s.nodes[id].shown()
		if !selects(query.Get, &n) {
			continue
		}
		if len(page) == limit {
			next := r.URL.Query()
			next.Set("marker", last)
			body["next"] = base(r) + r.URL.Path + "?" + next.Encode()
			break
		}
		item, err := project(n, fields)
		if err != nil {
			return 0, nil, err
		}
		page, last = append(page, item), id
	}
	body["nodes"] = page
	return http.StatusOK, body, nil
}

// selects says whether a list with these filters has the node.
func selects(get func(string) string, n *Node) bool {
	for filter, value := range map[string]string{
		"provision_state": n.ProvisionState, "driver": n.Driver, "fault": string(n.Fault), "instance_uuid": string(n.InstanceUUID),
		"resource_class": string(n.ResourceClass), "owner": string(n.Owner),
	} {
		if wanted := get(filter); wanted != "" && wanted != value {
			return false
		}
	}
	if wanted, err := strconv.ParseBool(strings.ToLower(get("maintenance"))); err == nil && wanted != n.Maintenance {
		return false
	}
	if wanted, err := strconv.ParseBool(strings.ToLower(get("associated"))); err == nil && wanted != (n.InstanceUUID != "") {
		return false
	}
	return true
}

// createNode answers POST /v1/nodes.
func (s *Server) createNode(r *http.Request) (int, any, error) {
	var body struct {
		UUID string `json:"uuid"`
		// DisablePowerOff is of microversion 1.95. gophercloud sends it always; at 1.89 a real
		// Ironic refuses true, and drops nothing else.
		DisablePowerOff bool `json:"disable_power_off"`
		Settings
	}
	if err := decode(r, &body); err != nil {
		return 0, nil, err
	}
	if body.DisablePowerOff {
		return 0, nil, refuse(http.StatusNotAcceptable, "Request not acceptable: disable_power_off needs microversion 1.95.")
	}
	if !slices.Contains(drivers, body.Driver) {
		return 0, nil, invalid("Could not find the following driver(s) or hardware type(s): %s.", body.Driver)
	}
	if body.UUID == "" {
		body.UUID = string(uuid.NewUUID())
	}
	body.defaults()

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes[body.UUID] != nil {
		return 0, nil, conflict("A node with UUID %s already exists.", body.UUID)
	}
	if err := s.nameFree(string(body.Name), body.UUID); err != nil {
		return 0, nil, err
	}
	now := time.Now().UTC()
	e := &entry{record: record{Node: Node{
		UUID: body.UUID, Settings: body.Settings, ProvisionState: enroll, CreatedAt: now, ProvisionUpdatedAt: &now,
		CleanStep: object{}, DeployStep: object{}, RAIDConfig: object{}, TargetRAIDConfig: object{}, DriverInternalInfo: object{},
	}}}
	if err := s.save(e); err != nil {
		return 0, nil, err
	}
	s.nodes[body.UUID] = e
	s.uuids = append(s.uuids, body.UUID)
	return http.StatusCreated, e.shown(), nil
}

// nameFree says whether a node may have the name; s.mu is held.
func (s *Server) nameFree(name, uuid string) error {
	if other, err := s.find(name); err == nil && other.Node.UUID != uuid {
		return conflict("A node with name %s already exists.", name)
	}
	return nil
}

// changeable are the states with a target in which a node may be updated
// (ironic/common/states.py, UPDATE_ALLOWED_STATES).
var changeable = []string{deployFailed, inspectFailed, inspectWait, cleanFailed, failure, adoptFailed}

// patchNode answers PATCH /v1/nodes/{node}.
func (s *Server) patchNode(r *http.Request) (int, any, error) {
	var patch jsonpatch.Patch
	if err := decode(r, &patch); err != nil {
		return 0, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.unlocked(r.PathValue("node"))
	if err != nil {
		return 0, nil, err
	}
	if e.Node.TargetProvisionState != "" && !slices.Contains(changeable, e.Node.ProvisionState) {
		return 0, nil, conflict("Node %s can not be updated while a state transition is in progress.", e.Node.UUID)
	}
	settings, err := apply(e.Node.Settings, patch)
	if err != nil {
		return 0, nil, err
	}
	if !slices.Contains(drivers, settings.Driver) {
		return 0, nil, invalid("Could not find the following driver(s) or hardware type(s): %s.", settings.Driver)
	}
	if err := s.nameFree(string(settings.Name), e.Node.UUID); err != nil {
		return 0, nil, err
	}
	if err := s.change(e, func(n *Node) { n.Settings = settings }); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, e.shown(), nil
}

// apply returns the settings with a JSON patch on them. An attribute that is removed gets its
// default.
func apply(settings Settings, patch jsonpatch.Patch) (Settings, error) {
	doc, err := json.Marshal(settings)
	if err != nil {
		return Settings{}, fmt.Errorf("encoding a node: %w", err)
	}
	for _, op := range patch {
		path, err := op.Path()
		if err != nil {
			return Settings{}, invalid("Couldn't apply patch. Reason: %s", err)
		}
		// What Ironic refuses, and what jsonpatch would add without a word: an unknown attribute.
		attribute, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		var known map[string]json.RawMessage
		if err := json.Unmarshal(doc, &known); err != nil {
			return Settings{}, err
		}
		if _, ok := known[attribute]; !ok {
			return Settings{}, invalid("Couldn't apply patch to %s. Reason: it cannot be changed, or there is no such attribute in microversion %s.", path, microversion)
		}
	}
	patched, err := patch.Apply(doc)
	if err != nil {
		return Settings{}, invalid("Couldn't apply patch. Reason: %s", err)
	}
	var out Settings
	if err := json.Unmarshal(patched, &out); err != nil {
		return Settings{}, invalid("Couldn't apply patch. Reason: %s", err)
	}
	out.defaults()
	return out, nil
}

// deletable are the states in which a node may be deleted without maintenance
// (ironic/common/states.py, DELETE_ALLOWED_STATES, and available).
var deletable = []string{enroll, manageable, available, adoptFailed}

// deleteNode answers DELETE /v1/nodes/{node}.
func (s *Server) deleteNode(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.unlocked(r.PathValue("node"))
	if err != nil {
		return 0, nil, err
	}
	if !e.Node.Maintenance {
		if e.Node.InstanceUUID != "" {
			return 0, nil, conflict("Node %s is associated with instance %s.", e.Node.UUID, string(e.Node.InstanceUUID))
		}
		if !slices.Contains(deletable, e.Node.ProvisionState) {
			return 0, nil, conflict("Can not delete node \"%s\" while it is in provision state \"%s\". Valid provision states to perform deletion are: \"%s\", or set the node into maintenance mode",
				e.Node.UUID, e.Node.ProvisionState, strings.Join(deletable, ", "))
		}
	}
	e.job.supersede()
	s.log.Info("a node was deleted", "node", e.Node.Name, "machine", e.Machine)
	return http.StatusNoContent, nil, s.remove(e)
}

// setMaintenance answers PUT /v1/nodes/{node}/maintenance.
func (s *Server) setMaintenance(r *http.Request) (int, any, error) {
	var body struct {
		Reason text `json:"reason"`
	}
	if err := decode(r, &body); err != nil {
		return 0, nil, err
	}
	return s.maintain(r, true, body.Reason)
}

// unsetMaintenance answers DELETE /v1/nodes/{node}/maintenance.
func (s *Server) unsetMaintenance(r *http.Request) (int, any, error) { return s.maintain(r, false, "") }

// maintain sets the maintenance flag. A person who takes it away takes the fault away as well.
func (s *Server) maintain(r *http.Request, on bool, reason text) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.unlocked(r.PathValue("node"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, nil, s.change(e, func(n *Node) {
		n.Maintenance, n.MaintenanceReason = on, reason
		if !on {
			n.Fault = ""
		}
	})
}
