package relay

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// pass passes on all that comes from one connection to the other. It returns nil at the end.
//
// It is not io.Copy: that splices too, but holds its pipe, two descriptors and 64 KiB of kernel
// memory, for as long as it waits for bytes.
func (r *Relay) pass(direction Direction, from, to *net.TCPConn) error {
	s := &splicer{}
	in, err := from.SyscallConn()
	if err != nil {
		return err
	}
	out, err := to.SyscallConn()
	if err != nil {
		return err
	}
	// Made once: what is called for each piece must not be allocated for each.
	fill, empty := s.fill, s.empty
	defer s.drop()
	for {
		err := in.Read(fill)
		switch {
		case err != nil && r.goOn(err):
			continue
		case err != nil:
			return err
		case errors.Is(s.err, errRefused):
			return r.copyAll(direction, from, to)
		case s.err != nil:
			return s.err
		case s.under == 0:
			return nil
		}
		for s.under > 0 {
			before := s.under
			err := out.Write(empty)
			if moved := before - s.under; moved > 0 {
				r.passed(direction, Splice, moved)
			}
			switch {
			case err != nil && r.goOn(err):
			case err != nil:
				return err
			case errors.Is(s.err, errRefused):
				if err := r.rescue(direction, s, to); err != nil {
					return err
				}
				return r.copyAll(direction, from, to)
			case s.err != nil:
				return s.err
			}
		}
		s.giveBack()
	}
}

// rescue copies what a pipe holds that cannot be spliced out of it.
func (r *Relay) rescue(direction Direction, s *splicer, to *net.TCPConn) error {
	buffer := buffers.Get().(*[copySize]byte)
	defer buffers.Put(buffer)
	for s.under > 0 {
		n, err := unix.Read(s.pipe.out, buffer[:min(s.under, copySize)])
		if err != nil {
			return err
		}
		s.under -= n
		if err := r.write(direction, to, buffer[:n]); err != nil {
			return err
		}
	}
	s.giveBack()
	return nil
}

// errRefused: the kernel, or what stands in for it in a sandbox, does not splice these.
var errRefused = errors.New("splice is refused")

// splicer moves bytes from a socket into a pipe and from the pipe into a socket.
type splicer struct {
	pipe  *pipe // only while bytes are under way
	under int   // bytes in the pipe
	err   error
}

// spliceAtMost is how much is asked for at once. The pipe's size is the limit that counts.
const spliceAtMost = 1 << 20

const spliceFlags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// fill fills the pipe. It returns false if there is nothing yet, and then holds no pipe.
func (s *splicer) fill(socket uintptr) bool {
	s.under, s.err = 0, nil
	if s.pipe == nil {
		if s.pipe = borrow(); s.pipe == nil {
			s.err = errRefused
			return true
		}
	}
	n, err := splice(int(socket), s.pipe.in, spliceAtMost)
	if err == nil && n > 0 {
		s.under = n
		return true
	}
	s.giveBack()
	s.err = err
	return !errors.Is(err, unix.EAGAIN)
}

// empty empties the pipe. It returns false if the socket takes no more yet.
func (s *splicer) empty(socket uintptr) bool {
	s.err = nil
	for s.under > 0 {
		n, err := splice(s.pipe.out, int(socket), s.under)
		if err != nil {
			s.err = err
			return !errors.Is(err, unix.EAGAIN)
		}
		s.under -= n
	}
	return true
}

func splice(from, to, n int) (int, error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, n, spliceFlags)
		switch {
		case err == nil:
			return int(moved), nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP):
			return 0, errRefused
		default:
			return 0, err
		}
	}
}

func (s *splicer) giveBack() {
	if s.pipe != nil {
		s.pipe.giveBack()
		s.pipe = nil
	}
}

// drop closes a pipe that may still hold bytes.
func (s *splicer) drop() {
	if s.pipe != nil {
		s.pipe.close()
		s.pipe = nil
	}
}

// pipe is a pipe: what is written to in comes out of out.
type pipe struct{ in, out int }

// idlePipes are those that nobody uses now. More are in use at once only under load, and are closed
// afterwards.
var idlePipes = make(chan *pipe, 64)

// borrow returns an empty pipe, or nil if there is none to be had: the limit of open files is
// reached.
func borrow() *pipe {
	select {
	case p := <-idlePipes:
		return p
	default:
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil
	}
	return &pipe{out: ends[0], in: ends[1]}
}

func (p *pipe) giveBack() {
	select {
	case idlePipes <- p:
	default:
		p.close()
	}
}

func (p *pipe) close() {
	// Of two descriptors of ours that are open, closing cannot fail in a way that matters.
	_ = unix.Close(p.in)
	_ = unix.Close(p.out)
}
