package ironic

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"time"

	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// worker does something with a node in the background. It changes the node through its job, and
// returns once the node is in a stable or a failed state, or ctx ends.
type worker func(ctx context.Context, j *job)

// job is what is done with a node in the background.
type job struct {
	server *Server
	entry  *entry
	cancel context.CancelFunc
	// over says that the job changes the node no more: it came to its end, or another job, or
	// none, took its place. It is guarded by Server.mu.
	over bool
}

// errTimeout says that the ramdisk did not call back in time.
var errTimeout = errors.New("the ramdisk did not call back in time")

// supersede has the job change the node no more; Server.mu is held. A nil job is none.
func (j *job) supersede() {
	if j != nil {
		j.over = true
		j.cancel()
	}
}

// start runs a worker; s.mu is held. A former job may still be at its end: it changes the node no
// more, and a machine does one thing after the other.
func (s *Server) start(e *entry, w worker) {
	ctx, cancel := context.WithCancel(s.ctx)
	j := &job{server: s, entry: e, cancel: cancel}
	e.job = j
	s.jobs.Go(func() {
		defer cancel()
		w(ctx, j)
		s.mu.Lock()
		defer s.mu.Unlock()
		j.over = true
	})
}

// change changes the node, unless the job is over or the server ends: then the next server finds
// the node as it is. It says whether the job shall go on.
func (j *job) change(f func(*Node)) bool {
	j.server.mu.Lock()
	defer j.server.mu.Unlock()
	return j.changeLocked(f)
}

// changeLocked is change while Server.mu is held.
func (j *job) changeLocked(f func(*Node)) bool {
	s := j.server
	if j.over || s.ctx.Err() != nil {
		return false
	}
	if err := s.change(j.entry, f); err != nil {
		s.log.Error("a node could not be saved", "node", j.entry.Node.UUID, "error", err)
		return false
	}
	return true
}

// to has the node in a state for good, in its target or where it failed, and ends the job: who
// sees the state finds the node unlocked. power is the power state, "" if it is what it was.
func (j *job) to(state string, power text, f func(*Node)) {
	j.server.mu.Lock()
	defer j.server.mu.Unlock()
	j.changeLocked(func(n *Node) {
		n.ProvisionState = state
		if state == string(n.TargetProvisionState) || state == enroll {
			n.TargetProvisionState = ""
		}
		n.CleanStep, n.DeployStep = object{}, object{}
		if power != "" {
			n.PowerState = power
		}
		if f != nil {
			f(n)
		}
	})
	j.over = true
}

// record returns the node's record as it is now.
func (j *job) record() record {
	j.server.mu.Lock()
	defer j.server.mu.Unlock()
	return j.entry.record
}

// await lets the ramdisk do something, in a state in which the client may interfere.
func (j *job) await(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, j.server.opts.CallbackTimeout, errTimeout)
	defer cancel()
	if err := f(ctx); ctx.Err() == nil {
		return err
	}
	return context.Cause(ctx)
}

// ended says whether an operation ended because the job did, so that there is nothing to report.
func ended(ctx context.Context) bool { return ctx.Err() != nil }

// verify looks whether the node's management controller answers to its credentials.
func verify(s *Server, _ *entry) worker {
	return func(_ context.Context, j *job) {
		node := j.record().Node
		m, on, err := s.readPower(&node)
		if err != nil {
			j.to(enroll, "", func(n *Node) {
				n.LastError = text(fmt.Sprintf("Failed to get power state for node %s. Error: %s", n.UUID, err))
			})
			return
		}
		s.mu.Lock()
		j.entry.Machine = m.Name
		s.mu.Unlock()
		j.to(manageable, powerText(on), nil)
	}
}

// inspect lets the ramdisk look at the hardware.
func inspect(s *Server, _ *entry) worker {
	return func(ctx context.Context, j *job) {
		fail := func(err error) {
			if ended(ctx) {
				return
			}
			if errors.Is(err, errTimeout) {
				err = errors.New("timeout reached while inspecting the node")
			}
			j.to(inspectFailed, "", func(n *Node) {
				n.LastError = text(fmt.Sprintf("Failed to inspect hardware. Reason: %s", err))
			})
		}
		m, err := j.ramdisk(ctx)
		if err != nil {
			fail(err)
			return
		}
		if !j.change(func(n *Node) { n.ProvisionState, n.PowerState = inspectWait, powerOn }) {
			return
		}
		var hardware room.Hardware
		if err := j.await(ctx, func(ctx context.Context) (err error) {
			hardware, err = m.Inspect(ctx)
			return err
		}); err != nil {
			fail(err)
			return
		}
		if !j.change(func(n *Node) { n.ProvisionState = inspecting }) {
			return
		}
		if err := m.Off(ctx); err != nil {
			fail(err)
			return
		}
		s.mu.Lock()
		j.entry.Inventory = &hardware
		s.addPorts(j.entry, hardware)
		s.mu.Unlock()
		j.to(manageable, powerOff, func(n *Node) {
			finished := time.Now().UTC()
			n.InspectionFinishedAt = &finished
			n.Properties = maps.Clone(n.Properties)
			n.Properties["cpu_arch"] = hardware.CPU.Arch
			n.Properties["memory_mb"] = hardware.MemoryMiB
			n.Properties["local_gb"] = hardware.Disks[0].Bytes / (1 << 30)
		})
	}
}

// abortInspection ends an inspection that waits for the ramdisk.
func abortInspection(*Server, *entry) worker {
	return func(ctx context.Context, j *job) {
		j.shutDown(ctx)
		j.to(inspectFailed, powerOff, func(n *Node) { n.LastError = "Inspection was aborted by request." })
	}
}

// deploy writes the image and boots from it.
func deploy(*Server, *entry) worker {
	return func(ctx context.Context, j *job) {
		fail := func(format string, args ...any) {
			if ended(ctx) {
				return
			}
			// Ironic's [deploy]power_off_after_deploy_failure.
			j.shutDown(ctx)
			j.to(deployFailed, powerOff, func(n *Node) { n.LastError = text(fmt.Sprintf(format, args...)) })
		}
		r := j.record()
		m, err := j.ramdisk(ctx)
		if err != nil {
			fail("Failed to deploy. Error: %s", err)
			return
		}
		if !j.change(func(n *Node) {
			n.ProvisionState, n.PowerState = deployWait, powerOn
			n.DeployStep = object{"interface": "deploy", "step": "write_image", "priority": 80}
		}) {
			return
		}
		drive, err := r.Drive.files(&r.Node)
		if err != nil {
			fail("Failed to deploy. Error: %s", err)
			return
		}
		source, _ := r.Node.InstanceInfo["image_source"].(string)
		err = j.await(ctx, func(ctx context.Context) error { return m.Write(ctx, path.Base(source), drive) })
		switch {
		case errors.Is(err, errTimeout):
			fail("Timeout reached while waiting for callback for node %s", r.Node.UUID)
			return
		case err != nil:
			fail("Deploy step deploy.write_image failed on node %s. %s", r.Node.UUID, err)
			return
		}
		if !j.change(func(n *Node) {
			n.ProvisionState = deploying
			n.DeployStep = object{"interface": "deploy", "step": "boot_instance", "priority": 20}
		}) {
			return
		}
		if err := m.Boot(ctx, room.FromDisk); err != nil {
			fail("Deploy step deploy.boot_instance failed on node %s. %s", r.Node.UUID, err)
			return
		}
		j.to(active, powerOn, nil)
	}
}

// adopt takes a node that is provisioned already. Its machine is left alone.
func adopt(s *Server, _ *entry) worker {
	return func(_ context.Context, j *job) {
		r := j.record()
		m, on, err := s.readPower(&r.Node)
		if source, _ := r.Node.InstanceInfo["image_source"].(string); err == nil && source == "" {
			err = errors.New("image_source is missing from its instance_info")
		}
		if err != nil {
			j.to(adoptFailed, "", func(n *Node) {
				n.LastError = text(fmt.Sprintf("Error while attempting to adopt node %s: %s", n.UUID, err))
			})
			return
		}
		s.mu.Lock()
		j.entry.Machine = m.Name
		s.mu.Unlock()
		j.to(active, powerText(on), nil)
	}
}

// ramdisk boots the machine's ramdisk.
func (j *job) ramdisk(ctx context.Context) (*room.Machine, error) {
	node := j.record().Node
	m, err := j.server.logIn(&node)
	if err != nil {
		return nil, err
	}
	if err := m.Boot(ctx, room.FromRamdisk); err != nil {
		return nil, fmt.Errorf("failed to set node power state to power on: %w", err)
	}
	return m, nil
}

// shutDown powers the machine off after a failure or an abort. An error is logged: the state that
// the node gets tells of the first one.
func (j *job) shutDown(ctx context.Context) {
	node := j.record().Node
	m, err := j.server.logIn(&node)
	if err == nil {
		err = m.Off(ctx)
	}
	if err != nil {
		j.server.log.Error("a machine could not be powered off", "node", string(node.Name), "error", err)
	}
}
