package room

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Inspect lets the ramdisk look at the hardware.
func (m *Machine) Inspect(ctx context.Context) (Hardware, error) {
	err := m.agent(ctx, FailInspect, func(context.Context) error { return nil })
	return m.Hardware, err
}

// Write lets the ramdisk write an image and a config drive to the disk.
func (m *Machine) Write(ctx context.Context, image string, drive ConfigDrive) error {
	return m.agent(ctx, FailProvision, func(ctx context.Context) error {
		// A disk that is half written has no image.
		if err := m.change(func(s *stored) { s.Image = "" }); err != nil {
			return err
		}
		if err := m.computer.Write(ctx, image, drive); err != nil {
			return err
		}
		return m.change(func(s *stored) { s.Image = image })
	})
}

// Erase lets the ramdisk erase the disk.
func (m *Machine) Erase(ctx context.Context) error {
	return m.agent(ctx, FailClean, func(ctx context.Context) error {
		if err := m.computer.Erase(ctx); err != nil {
			return err
		}
		return m.change(func(s *stored) { s.Image = "" })
	})
}

// Configure lets the ramdisk do a step of cleaning that changes nothing in this room.
func (m *Machine) Configure(ctx context.Context) error {
	return m.agent(ctx, FailClean, func(context.Context) error { return nil })
}

// SetPower switches the machine on, from its disk, or off, as its management controller does. A
// hard switch cuts the power, a soft one asks the operating system to end. It does nothing if
// the machine is as wanted.
func (m *Machine) SetPower(ctx context.Context, on, hard bool) error {
	return m.perform(ctx, func(ctx context.Context) error {
		if on {
			return m.boot(ctx, FromDisk)
		}
		return m.off(ctx, hard)
	})
}

// Boot has the machine powered and running what is wanted, whatever it ran before. Unlike
// SetPower it is never slow: it is a part of another operation.
func (m *Machine) Boot(ctx context.Context, from Boot) error {
	ctx, done := m.begin(ctx)
	defer done()
	m.using.Lock()
	defer m.using.Unlock()
	if ctx.Err() != nil { // it was cut, or given up, while it waited for the computer
		return context.Cause(ctx)
	}
	if m.faults().Has(NoPowerOn) {
		return fmt.Errorf("powering on: %w: %s", ErrFault, NoPowerOn)
	}
	if err := m.off(ctx, true); err != nil {
		return err
	}
	return m.boot(ctx, from)
}

// Off has the machine not powered. Unlike SetPower it is never slow.
func (m *Machine) Off(ctx context.Context) error {
	m.using.Lock()
	defer m.using.Unlock()
	return m.off(ctx, true)
}

// Cut cuts the power at once, whatever the machine does.
func (m *Machine) Cut(ctx context.Context) error {
	m.mu.Lock()
	for _, cancel := range m.running {
		cancel(ErrCut)
	}
	m.mu.Unlock()
	return m.Off(ctx)
}

// boot powers the machine on; m.using is held. A machine without an image runs the ramdisk.
func (m *Machine) boot(ctx context.Context, from Boot) error {
	m.mu.Lock()
	s := m.stored
	m.mu.Unlock()
	if s.Image == "" {
		from = FromRamdisk
	}
	if on, err := m.On(); err != nil {
		return err
	} else if on && s.Boots == from {
		return nil
	}
	if s.Faults.Has(NoPowerOn) {
		return fmt.Errorf("powering on: %w: %s", ErrFault, NoPowerOn)
	}
	began := m.now()
	if from == FromDisk {
		if err := m.computer.PowerOn(ctx); err != nil {
			return fmt.Errorf("powering %s on: %w", m.Name, err)
		}
	}
	return m.change(func(s *stored) { s.Power, s.Boots, s.PowerSince = true, from, began })
}

// off powers the machine off; m.using is held.
func (m *Machine) off(ctx context.Context, hard bool) error {
	if err := m.computer.PowerOff(ctx, hard); err != nil {
		return fmt.Errorf("powering %s off: %w", m.Name, err)
	}
	return m.change(func(s *stored) {
		if s.Power {
			s.PowerSince = m.now()
		}
		s.Power, s.Boots = false, ""
	})
}

// agent does something that the ramdisk's agent does. If the power is cut meanwhile, nobody is
// there to report it: the call returns when ctx ends.
func (m *Machine) agent(ctx context.Context, fails Fault, f func(context.Context) error) error {
	err := m.perform(ctx, func(ctx context.Context) error {
		if m.faults().Has(fails) {
			return fmt.Errorf("%w: %s", ErrFault, fails)
		}
		return f(ctx)
	})
	if errors.Is(err, ErrCut) {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return err
}

// perform does one operation, which is as slow and as stuck as the machine was told to be.
func (m *Machine) perform(ctx context.Context, f func(context.Context) error) error {
	ctx, done := m.begin(ctx)
	defer done()
	if err := m.dawdle(ctx); err != nil {
		return err
	}
	m.using.Lock()
	defer m.using.Unlock()
	if ctx.Err() == nil { // else it was cut while it waited for the computer
		if err := f(ctx); ctx.Err() == nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// begin registers an operation, so that a power cut ends it. done must be called.
func (m *Machine) begin(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.nextRun
	m.nextRun++
	m.running[id] = cancel
	return ctx, func() {
		cancel(nil)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.running, id)
	}
}

// dawdle waits for as long as the faults say.
func (m *Machine) dawdle(ctx context.Context) error {
	if slow := m.faults().slow; slow > 0 {
		timer := time.NewTimer(slow)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for {
		m.mu.Lock()
		hang, told := m.stored.Faults.Has(Hang), m.told
		m.mu.Unlock()
		if !hang {
			return nil
		}
		select {
		case <-told:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// faults returns the machine's faults as they are now.
func (m *Machine) faults() Faults {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stored.Faults
}
