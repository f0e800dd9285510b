package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// speakers makes the test's program be the two who speak through a relay: what they read and write
// must not be counted as what the relay reads and writes.
const speakers = "TEAPOT_TEST_SPEAKS"

func TestMain(m *testing.M) {
	if ends := os.Getenv(speakers); ends != "" {
		if err := speak(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const spoken = 64 << 20

// speak writes into descriptor 3 and reads from descriptor 4, says so and waits for the end of its
// input.
func speak() error {
	from, to := os.NewFile(4, "server"), os.NewFile(3, "client")
	written := make(chan error, 1)
	go func() {
		piece := bytes.Repeat([]byte("teapot"), 10000)
		for left := spoken; left > 0; left -= len(piece) {
			piece = piece[:min(left, len(piece))]
			if _, err := to.Write(piece); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	if n, err := io.CopyN(io.Discard, from, spoken); err != nil {
		return fmt.Errorf("%d bytes were heard: %w", n, err)
	}
	if err := <-written; err != nil {
		return err
	}
	fmt.Println("done")
	_, err := io.Copy(io.Discard, os.Stdin) // until its own count may be added to the parent's
	return err
}

// TestNothingPassesThroughTheProcess: the kernel's count of what this process has read and written
// does not grow with what a relay passes on.
func TestNothingPassesThroughTheProcess(t *testing.T) {
	e := start(t, time.Minute)
	client, err := e.client.File()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := e.server.File()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), speakers+"=1")
	command.ExtraFiles = []*os.File{client, server}
	command.Stderr = os.Stderr
	goOn, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	says, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	readBefore, writtenBefore := readAndWritten(t)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_, failure := io.ReadFull(says, make([]byte, len("done")))
	readAfter, writtenAfter := readAndWritten(t)
	if err := errors.Join(failure, goOn.Close(), command.Wait()); err != nil {
		t.Fatal(err)
	}
	if read, written := readAfter-readBefore, writtenAfter-writtenBefore; read > spoken/100 || written > spoken/100 {
		t.Errorf("this process read %d and wrote %d bytes while %d were passed on", read, written, spoken)
	}
	// The last word may be heard before it is counted.
	for began := time.Now(); e.count(ToServer, Splice) < spoken; {
		if time.Since(began) > time.Minute {
			t.Fatalf("%d bytes were counted as spliced of %d, and %d as copied", e.count(ToServer, Splice), spoken, e.count(ToServer, Copy))
		}
	}
}

func readAndWritten(t *testing.T) (read, written int64) {
	t.Helper()
	stats, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(stats)) {
		_, _ = fmt.Sscanf(line, "rchar: %d", &read) // other lines are others
		_, _ = fmt.Sscanf(line, "wchar: %d", &written)
	}
	if read == 0 {
		t.Fatalf("/proc/self/io does not say what was read:\n%s", stats)
	}
	return read, written
}

// TestIdleHoldsNoPipe: a connection that waits holds nothing but its two sockets.
func TestIdleHoldsNoPipe(t *testing.T) {
	const connections = 20
	var all []*ends
	for range connections {
		e := start(t, time.Minute)
		if _, err := e.client.Write([]byte("word")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(e.server, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	for began := time.Now(); ; {
		if pipes := openPipes(t); pipes <= 2*len(idlePipes) && len(idlePipes) < connections {
			return
		} else if time.Since(began) > time.Minute {
			t.Fatalf("%d connections hold %d ends of pipes, of which %d pipes are nobody's", len(all), pipes, len(idlePipes))
		}
	}
}

// openPipes counts the ends of pipes that are open and were made by relays.
func openPipes(t *testing.T) (n int) {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		link, err := os.Readlink("/proc/self/fd/" + file.Name())
		var fd int
		if _, scan := fmt.Sscan(file.Name(), &fd); err != nil || scan != nil || !strings.HasPrefix(link, "pipe:") {
			continue
		}
		// Those that the test was given have no O_NONBLOCK.
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil && flags&unix.O_NONBLOCK != 0 {
			n++
		}
	}
	return n
}

// TestWithoutSplice: where pipes are not to be had the bytes are copied, and are the same.
func TestWithoutSplice(t *testing.T) {
	e := start(t, time.Minute)
	withoutPipes(t)
	said := random(t, 1<<20)
	go func() { _, _ = e.client.Write(said) }() // what is missing is noticed below
	got := make([]byte, len(said))
	if _, err := io.ReadFull(e.server, got); err != nil || !bytes.Equal(got, said) {
		t.Fatalf("something else was heard: %v", err)
	}
	for began := time.Now(); e.count(ToServer, Copy) < int64(len(said)); {
		if time.Since(began) > time.Minute {
			t.Fatalf("%d bytes were counted as copied", e.count(ToServer, Copy))
		}
	}
}

// TestIdleWithoutSplice: what is copied is as little, and as much, a sign of life.
func TestIdleWithoutSplice(t *testing.T) {
	const idle = 400 * time.Millisecond
	e := start(t, idle)
	withoutPipes(t)
	endsWhenIdle(t, e, idle)
	if n := e.count(ToClient, Splice); n > 0 {
		t.Errorf("%d bytes were spliced", n)
	}
}

// withoutPipes lets nothing be opened until the end of the test.
func withoutPipes(t *testing.T) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for len(idlePipes) > 0 {
		t.Cleanup(borrow().giveBack)
	}
	highest, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(highest) })
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(highest), Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	})
}

// TestRescue: what is in a pipe when the kernel refuses to splice it out of there is not lost.
func TestRescue(t *testing.T) {
	e := start(t, time.Minute)
	out, heard := pair(t)
	said := random(t, 60000)
	s := &splicer{pipe: borrow()}
	n, err := unix.Write(s.pipe.in, said)
	if err != nil {
		t.Fatal(err)
	}
	s.under = n
	if err := e.relay.rescue(ToServer, s, out); err != nil || s.pipe != nil {
		t.Fatalf("%v; the pipe is %v", err, s.pipe)
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(heard, got); err != nil || !bytes.Equal(got, said[:n]) {
		t.Fatalf("something else was heard: %v", err)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	e := start(b, time.Minute)
	go func() { _, _ = io.Copy(e.server, e.server) }()
	word := make([]byte, 200)
	for b.Loop() {
		if _, err := e.client.Write(word); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(e.client, word); err != nil {
			b.Fatal(err)
		}
	}
}
