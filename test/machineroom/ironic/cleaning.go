package ironic

import (
	"context"
	"errors"
	"fmt"

	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// automatedSteps are the steps of automated cleaning as Metal3 configures Ironic.
var automatedSteps = []step{{Interface: "deploy", Step: "erase_devices_metadata", Priority: 10}}

// cleaningSteps are the steps that are known, and what each does to a machine.
var cleaningSteps = map[string]func(*room.Machine, context.Context) error{
	"deploy.erase_devices":          (*room.Machine).Erase,
	"deploy.erase_devices_express":  (*room.Machine).Erase,
	"deploy.erase_devices_metadata": (*room.Machine).Erase,
	"bios.apply_configuration":      (*room.Machine).Configure,
	"bios.factory_reset":            (*room.Machine).Configure,
	"firmware.update":               (*room.Machine).Configure,
	"raid.create_configuration":     (*room.Machine).Configure,
	"raid.delete_configuration":     (*room.Machine).Configure,
}

// tearDown powers the machine off, forgets the deployment, and cleans.
func tearDown(s *Server, e *entry) worker {
	return func(ctx context.Context, j *job) {
		node := j.record().Node
		m, err := s.logIn(&node)
		if err == nil {
			err = m.Off(ctx)
		}
		if ended(ctx) {
			return
		}
		if err != nil {
			j.to(failure, "", func(n *Node) {
				n.LastError = text(fmt.Sprintf("Failed to tear down. Error: %s", err))
			})
			return
		}
		s.mu.Lock()
		j.entry.Drive = nil
		s.mu.Unlock()
		if !j.change(func(n *Node) {
			n.InstanceInfo, n.InstanceUUID = object{}, ""
			n.ProvisionState, n.PowerState = cleaning, powerOff
		}) {
			return
		}
		clean(s, e)(ctx, j)
	}
}

// clean does the steps of manual cleaning, or those of automated cleaning if there are none.
// Automated cleaning that is switched off for the node does nothing.
func clean(s *Server, _ *entry) worker {
	return func(ctx context.Context, j *job) {
		r := j.record()
		target := string(r.Node.TargetProvisionState)
		steps := r.CleanSteps
		if target == available {
			if steps = automatedSteps; r.Node.AutomatedClean != nil && !*r.Node.AutomatedClean {
				j.to(target, "", nil)
				return
			}
		}
		fail := func(format string, args ...any) {
			if !ended(ctx) {
				j.failCleaning(ctx, fmt.Sprintf(format, args...))
			}
		}
		m, err := j.ramdisk(ctx)
		if err != nil {
			fail("Failed to prepare node %s for cleaning: %s", r.Node.UUID, err)
			return
		}
		for _, st := range steps {
			name := st.Interface + "." + st.Step
			work := cleaningSteps[name]
			if work == nil {
				fail("Cannot clean node %s: node does not support these clean steps: %s", r.Node.UUID, name)
				return
			}
			if !j.change(func(n *Node) {
				n.ProvisionState, n.PowerState = cleanWait, powerOn
				n.CleanStep = object{"interface": st.Interface, "step": st.Step, "priority": st.Priority}
			}) {
				return
			}
			err := j.await(ctx, func(ctx context.Context) error { return work(m, ctx) })
			switch {
			case errors.Is(err, errTimeout):
				fail("Timeout reached while cleaning the node. Please check if the ramdisk responsible for the cleaning is running on the node. Failed on step %s.", name)
				return
			case err != nil:
				fail("Clean step %s failed on node %s. %s", name, r.Node.UUID, err)
				return
			}
		}
		if !j.change(func(n *Node) { n.ProvisionState = cleaning }) {
			return
		}
		if err := m.Off(ctx); err != nil {
			fail("Failed to tear down from cleaning for node %s, reason: %s", r.Node.UUID, err)
			return
		}
		j.to(target, powerOff, func(n *Node) {
			if len(n.TargetRAIDConfig) > 0 {
				n.RAIDConfig = n.TargetRAIDConfig
			}
		})
	}
}

// failCleaning has the node where Ironic's cleaning_error_handler leaves it: in maintenance, with
// a fault, its machine off. A person, or the operator, must take maintenance away.
func (j *job) failCleaning(ctx context.Context, message string) {
	j.shutDown(ctx)
	j.to(cleanFailed, powerOff, func(n *Node) {
		n.LastError, n.MaintenanceReason = text(message), text(message)
		n.Maintenance, n.Fault = true, cleanFailure
	})
}

// abortCleaning ends cleaning that waits for the ramdisk.
func abortCleaning(*Server, *entry) worker {
	return func(ctx context.Context, j *job) {
		j.shutDown(ctx)
		j.to(cleanFailed, powerOff, func(n *Node) { n.LastError = "By request, the clean operation was aborted" })
	}
}

// resume takes up what a former server began; s.mu is held. What waits for the ramdisk starts
// from its beginning: each such operation may be done twice. What a conductor was in the middle of
// has failed (ironic/conductor/base_manager.py, init_host).
func (s *Server) resume(e *entry) error {
	lost := fmt.Sprintf("The %s state can't be resumed by conductor %s. Moving to fail state.", e.Node.ProvisionState, conductor)
	fail := func(state string, f func(*Node)) error {
		return s.change(e, func(n *Node) {
			n.ProvisionState, n.LastError = state, text(lost)
			if f != nil {
				f(n)
			}
		})
	}
	if e.Node.TargetPowerState != "" {
		if err := s.change(e, func(n *Node) {
			n.TargetPowerState, n.LastError = "", "Pending power operation was aborted due to conductor restart"
		}); err != nil {
			return err
		}
	}
	switch e.Node.ProvisionState {
	case deployWait:
		s.start(e, deploy(s, e))
	case cleanWait:
		s.start(e, clean(s, e))
	case inspectWait:
		s.start(e, inspect(s, e))
	case verifying:
		return fail(enroll, func(n *Node) { n.TargetProvisionState = "" })
	case inspecting:
		return fail(inspectFailed, nil)
	case deploying:
		return fail(deployFailed, nil)
	case deleting:
		return fail(failure, nil)
	case adopting:
		return fail(adoptFailed, nil)
	case cleaning:
		return fail(cleanFailed, func(n *Node) {
			n.Maintenance, n.MaintenanceReason, n.Fault = true, text(lost), cleanFailure
		})
	}
	return nil
}
