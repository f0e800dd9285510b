package ironic

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// step is a step of cleaning or deploying.
type step struct {
	Interface string         `json:"interface"`
	Step      string         `json:"step"`
	Args      map[string]any `json:"args,omitempty"`
	Priority  int            `json:"priority,omitempty"`
}

// configDrive is the JSON form of a config drive (microversion 1.56).
type configDrive struct {
	MetaData    map[string]any  `json:"meta_data,omitempty"`
	NetworkData map[string]any  `json:"network_data,omitempty"`
	UserData    json.RawMessage `json:"user_data,omitempty"`
}

// files returns what is written to the machine's disk. Like Ironic's it names the node in the
// meta data unless these do.
func (c *configDrive) files(n *Node) (room.ConfigDrive, error) {
	if c == nil {
		c = &configDrive{}
	}
	meta := map[string]any{"uuid": n.UUID}
	if n.Name != "" {
		meta["name"] = string(n.Name)
	}
	for k, v := range c.MetaData {
		meta[k] = v
	}
	var drive room.ConfigDrive
	var err error
	if drive.MetaData, err = json.Marshal(meta); err != nil {
		return room.ConfigDrive{}, fmt.Errorf("encoding meta data: %w", err)
	}
	if c.NetworkData != nil {
		if drive.NetworkData, err = json.Marshal(c.NetworkData); err != nil {
			return room.ConfigDrive{}, fmt.Errorf("encoding network data: %w", err)
		}
	}
	if len(c.UserData) > 0 {
		var words string
		if json.Unmarshal(c.UserData, &words) == nil {
			drive.UserData = []byte(words)
		} else { // an object, such as an Ignition configuration, is written as it is
			drive.UserData = c.UserData
		}
	}
	return drive, nil
}

// verb is what a client may ask of a node.
type verb struct {
	// from are the states in which it may be asked.
	from []string
	// to is the state that the node gets at once, and target where it shall get.
	to, target string
	// action is Ironic's word for it in errors, and healthy says that it is refused in
	// maintenance.
	action  string
	healthy bool
	// work is done in the background; without it the state is all.
	work func(*Server, *entry) worker
}

// verbs are the targets of PUT states/provision. The transitions are those of
// ironic/common/states.py. Where one needs no work, the node is in its state at once.
var verbs = map[string][]verb{
	"manage": {
		{from: []string{enroll}, to: verifying, target: manageable, action: "manage", work: verify},
		{from: []string{available, inspectFailed, cleanFailed, adoptFailed}, to: manageable, action: "manage"},
	},
	"inspect": {{from: []string{manageable, inspectFailed}, to: inspecting, target: manageable, action: "inspect", work: inspect}},
	"provide": {{from: []string{manageable}, to: cleaning, target: available, action: "provide", healthy: true, work: clean}},
	"clean":   {{from: []string{manageable}, to: cleaning, target: manageable, action: "cleaning", healthy: true, work: clean}},
	"active":  {{from: []string{available, deployFailed}, to: deploying, target: active, action: "provisioning", healthy: true, work: deploy}},
	"rebuild": {{from: []string{active, deployFailed, failure}, to: deploying, target: active, action: "rebuild", healthy: true, work: deploy}},
	"deleted": {{from: []string{active, deployFailed, deployWait, failure}, to: deleting, target: available, action: "delete", work: tearDown}},
	"adopt":   {{from: []string{manageable, adoptFailed}, to: adopting, target: active, action: "adopt", work: adopt}},
	"abort": {
		{from: []string{cleanWait}, to: cleanFailed, action: "abort", work: abortCleaning},
		{from: []string{inspectWait}, to: inspectFailed, action: "abort", work: abortInspection},
	},
}

// setProvisionState answers PUT /v1/nodes/{node}/states/provision.
func (s *Server) setProvisionState(r *http.Request) (int, any, error) {
	var body struct {
		Target      string          `json:"target"`
		ConfigDrive json.RawMessage `json:"configdrive"`
		CleanSteps  []step          `json:"clean_steps"`
		DeploySteps []step          `json:"deploy_steps"`
	}
	if err := decode(r, &body); err != nil {
		return 0, nil, err
	}
	drive, err := parseDrive(body.ConfigDrive)
	if err != nil {
		return 0, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.unlocked(r.PathValue("node"))
	if err != nil {
		return 0, nil, err
	}
	v, err := chooseVerb(&e.Node, body.Target)
	if err != nil {
		return 0, nil, err
	}
	switch body.Target {
	case "clean":
		if len(body.CleanSteps) == 0 {
			return 0, nil, invalid("\"clean_steps\" is required when setting target provision state to clean")
		}
		e.CleanSteps = body.CleanSteps
	case "provide", "deleted":
		e.CleanSteps = nil
	case "active", "rebuild":
		if len(body.DeploySteps) > 0 {
			return 0, nil, invalid("Deploy steps are not served by the machine room's Ironic.")
		}
		if reason := s.validateDeploy(e); reason != "" {
			return 0, nil, refuse(http.StatusInternalServerError, "Failed to validate deploy or power info for node %s. Error: %s", e.Node.UUID, reason)
		}
		if drive != nil || body.Target == "active" {
			e.setDrive(drive)
		}
	}
	return http.StatusAccepted, nil, s.begin(e, v)
}

// setDrive keeps the config drive of a deployment. Ironic has it in instance_info, and shows stars.
func (e *entry) setDrive(drive *configDrive) {
	e.Drive = drive
	e.Node.InstanceInfo = maps.Clone(e.Node.InstanceInfo)
	delete(e.Node.InstanceInfo, "configdrive")
	if drive != nil {
		e.Node.InstanceInfo["configdrive"] = "present"
	}
}

// chooseVerb returns the verb for a target in the node's state, or the error of Ironic's.
func chooseVerb(n *Node, target string) (verb, error) {
	known, ok := verbs[target]
	if !ok {
		return verb{}, invalid("The requested target provision state \"%s\" is not served by the machine room's Ironic.", target)
	}
	for _, v := range known {
		if !slices.Contains(v.from, n.ProvisionState) {
			continue
		}
		if v.healthy && n.Maintenance {
			return verb{}, invalid("The %s operation can't be performed on node %s because it's in maintenance mode.", v.action, n.UUID)
		}
		return v, nil
	}
	return verb{}, invalid("The requested action \"%s\" can not be performed on node \"%s\" while it is in state \"%s\".", target, n.UUID, n.ProvisionState)
}

// parseDrive reads a config drive. Other forms than JSON (an image, a URL) are not served.
func parseDrive(raw json.RawMessage) (*configDrive, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	drive := &configDrive{}
	if err := json.Unmarshal(raw, drive); err != nil {
		return nil, invalid("Invalid configdrive: only its JSON form is served by the machine room's Ironic: %s", err)
	}
	return drive, nil
}

// begin moves a node along a verb and starts its work; s.mu is held.
func (s *Server) begin(e *entry, v verb) error {
	e.job.supersede()
	e.job = nil
	err := s.change(e, func(n *Node) {
		if v.to == inspecting {
			started := time.Now().UTC()
			n.InspectionStartedAt, n.InspectionFinishedAt = &started, nil
		}
		// A failed state keeps its target; a stable one has none.
		if v.action != "abort" {
			n.TargetProvisionState, n.LastError = text(v.target), ""
		}
		n.ProvisionState = v.to
	})
	if err != nil || v.work == nil {
		return err
	}
	s.start(e, v.work(s, e))
	return nil
}

// validateNode answers GET /v1/nodes/{node}/validate.
func (s *Server) validateNode(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(r.PathValue("node"))
	if err != nil {
		return 0, nil, err
	}
	verdict := func(reason string) map[string]any {
		if reason == "" {
			return map[string]any{"result": true}
		}
		return map[string]any{"result": false, "reason": reason}
	}
	power := validateDriverInfo(&e.Node)
	deploy := s.validateDeploy(e)
	return http.StatusOK, map[string]any{
		"power": verdict(power), "management": verdict(power), "boot": verdict(power), "deploy": verdict(deploy),
		"bios": verdict(""), "inspect": verdict(""), "network": verdict(""), "raid": verdict(""), "storage": verdict(""),
		"firmware": verdict(""), "rescue": verdict("not supported"), "console": verdict("not supported"),
	}, nil
}

// validateDeploy says why a node cannot be deployed; "" if it can. Like Ironic's validation it
// looks at what the node says and does not dial. s.mu is held.
func (s *Server) validateDeploy(e *entry) string {
	if reason := validateDriverInfo(&e.Node); reason != "" {
		return reason
	}
	if e.Node.DeployInterface != "direct" {
		return fmt.Sprintf("Could not find the following interface in the 'ironic.hardware.interfaces.deploy' entrypoint: %s. Valid interfaces are ['direct'].", e.Node.DeployInterface)
	}
	source, _ := e.Node.InstanceInfo["image_source"].(string)
	if source == "" {
		return "Cannot validate image information for node " + e.Node.UUID + " because one or more parameters are missing from its instance_info: Missing are: ['image_source']"
	}
	sum, _ := e.Node.InstanceInfo["image_checksum"].(string)
	hash, _ := e.Node.InstanceInfo["image_os_hash_value"].(string)
	if sum == "" && hash == "" {
		return "image_checksum or image_os_hash_algo and image_os_hash_value fields must be provided in instance_info for node " + e.Node.UUID
	}
	return ""
}

// setRAID answers PUT /v1/nodes/{node}/states/raid. The room's machines have no RAID controller:
// what is asked for is kept and counts as made once it was cleaned for.
func (s *Server) setRAID(r *http.Request) (int, any, error) {
	var body object
	if err := decode(r, &body); err != nil {
		return 0, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.unlocked(r.PathValue("node"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.change(e, func(n *Node) { n.TargetRAIDConfig = body })
}
