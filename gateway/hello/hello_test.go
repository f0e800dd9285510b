package hello

import (
	"bytes"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestClientHellos(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent []byte
		want string
	}{
		{"of TLS 1.3 with post-quantum keys", ofClient(t, &tls.Config{ServerName: "acme.red.example.org"}), "acme.red.example.org"},
		{"of TLS 1.2", ofClient(t, &tls.Config{ServerName: "acme.red.example.org", MaxVersion: tls.VersionTLS12}), "acme.red.example.org"},
		{"of TLS 1.0, which an API server refuses itself", ofClient(t, &tls.Config{ServerName: "acme.red.example.org", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}), "acme.red.example.org"},
		{"with application protocols", ofClient(t, &tls.Config{ServerName: "acme.red.example.org", NextProtos: []string{"h2", "http/1.1"}}), "acme.red.example.org"},
		{"in capitals", record(handshakeRecord, handMade(sni("ACME.Red.example.org"))), "acme.red.example.org"},
		{"by address, without a name", ofClient(t, &tls.Config{ServerName: "192.0.2.1"}), ""},
		{"without extensions", record(handshakeRecord, handMade()), ""},
		{"with ECH: the outer name", ofClient(t, withECH(t)), "public.example.org"},
		{"with GREASE as browsers send it", record(handshakeRecord, handMade(
			extension(0x0a0a), sni("acme.red.example.org"), extension(0x002b, vector8(u16(0x1a1a), u16(0x0304))),
			extension(0x0033, vector16(u16(0x2a2a), vector16([]byte{0}))), extension(0x3a3a, []byte{0}),
		)), "acme.red.example.org"},
		{"with GREASE for ECH", record(handshakeRecord, handMade(
			extension(0xfe0d, []byte{0}, u16(1), u16(1), []byte{7}, vector16(make([]byte, 32)), vector16(make([]byte, 144))), sni("acme.red.example.org"),
			extension(0x002b, vector8(u16(0x0304))),
		)), "acme.red.example.org"},
		{"padded to nearly all that is read", record(handshakeRecord, handMade(sni("acme.red.example.org"), extension(21, make([]byte, 16<<10-200)))), "acme.red.example.org"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Read(from(tt.sent), nil)
			if err != nil || got.ServerName != tt.want || !bytes.Equal(got.Raw, tt.sent) {
				t.Fatalf("got name %q, %d bytes, %v; want %q, %d", got.ServerName, len(got.Raw), err, tt.want, len(tt.sent))
			}
		})
	}
}

// TestPieces: however it is cut into segments and records, it is the same ClientHello.
func TestPieces(t *testing.T) {
	const name = "acme.red.example.org"
	sent := ofClient(t, &tls.Config{ServerName: name})
	message := sent[recordHeader:]
	check := func(what string, conn *pieces, already []byte, want []byte) {
		t.Helper()
		got, err := Read(conn, already)
		if err != nil || got.ServerName != name || !bytes.Equal(got.Raw, want) {
			t.Fatalf("%s: got name %q, %d bytes, %v; want %d", what, got.ServerName, len(got.Raw), err, len(want))
		}
	}
	for at := range sent {
		check("cut into segments", from(split(sent, at)...), nil, sent)
		check("begun before", from(sent[at:]), sent[:at], sent)
	}
	for at := 1; at < len(message); at++ {
		cut := split(message, at)
		fragmented := slices.Concat(record(handshakeRecord, cut[0]), record(handshakeRecord, cut[1]))
		check("cut into records", from(fragmented), nil, fragmented)
		check("cut into records and segments", from(split(fragmented, at)...), nil, fragmented)
	}
	var single, ones [][]byte
	for _, b := range message {
		single = append(single, record(handshakeRecord, []byte{b}))
	}
	fragmented := slices.Concat(single...)
	for i := range fragmented {
		ones = append(ones, fragmented[i:i+1])
	}
	check("a byte a record", from(fragmented), nil, fragmented)
	check("a byte a record, a byte a segment", from(ones...), nil, fragmented)
}

// TestWhatComesAfter a ClientHello is kept: it is for the API server.
func TestWhatComesAfter(t *testing.T) {
	sent := slices.Concat(ofClient(t, &tls.Config{ServerName: "acme.red.example.org"}), record(applicationDataRecord, []byte("early")))
	for _, conn := range []*pieces{from(sent), from(split(sent, 7)...)} {
		got, err := Read(conn, nil)
		if err != nil {
			t.Fatal(err)
		}
		if all := slices.Concat(append([][]byte{got.Raw}, conn.left...)...); !bytes.Equal(all, sent) {
			t.Errorf("%d bytes were kept or left of %d", len(all), len(sent))
		}
	}
}

func TestNoClientHello(t *testing.T) {
	hello := ofClient(t, &tls.Config{ServerName: "acme.red.example.org"})
	const unexpectedMessage, recordOverflow, illegalParameter, protocolVersion = 10, 22, 47, 70
	longMessage := []byte{1, 1, 0, 1} // of 64 KiB and one byte
	for _, tt := range []struct {
		name  string
		sent  []byte
		want  Reason
		reply []byte
	}{
		{"nothing", nil, Gone, nil},
		{"half of one", hello[:len(hello)/2], Gone, nil},
		{"HTTP", []byte("GET /api HTTP/1.1\r\nHost: acme.red.example.org\r\n\r\n"), NotTLS, []byte("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")},
		{"SSH", []byte("SSH-2.0-OpenSSH_9.2\r\n"), NotTLS, nil},
		{"SSLv2", []byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10}, Malformed, Alert(protocolVersion)},
		{"zeros", make([]byte, 64), NotTLS, nil},
		{"application data", record(applicationDataRecord, []byte("x")), NotTLS, nil},
		{"a change of ciphers", record(changeCipherRecord, []byte{1}), NotTLS, nil},
		{"an alert", Alert(40), Malformed, nil},
		{"another message of the handshake", record(handshakeRecord, message(20, make([]byte, 12))), Malformed, Alert(unexpectedMessage)},
		{"an empty record", record(handshakeRecord), Malformed, Alert(unexpectedMessage)},
		{"an empty record within", slices.Concat(record(handshakeRecord, hello[5:9]), record(handshakeRecord), record(handshakeRecord, hello[9:])), Malformed, Alert(unexpectedMessage)},
		{"a record that is longer than one may be", []byte{handshakeRecord, 3, 1, 0xff, 0xff, 1}, Malformed, Alert(recordOverflow)},
		{"a message of more than 64 KiB", record(handshakeRecord, longMessage), Malformed, Alert(AlertInternalError)},
		{"one of more than is read", slices.Concat(record(handshakeRecord, handMade(extension(21, make([]byte, 16<<10)))[:16000]), record(handshakeRecord, make([]byte, 1000))), TooLarge, Alert(alertDecodeError)},
		{"one in too many records", slices.Concat(record(handshakeRecord, []byte{1, 0, 0x3e, 0x80}), bytes.Repeat(record(handshakeRecord, []byte{0}), 4000)), TooLarge, Alert(alertDecodeError)},
		{"an extension twice", record(handshakeRecord, handMade(sni("a.example.org"), sni("b.example.org"))), Malformed, Alert(alertDecodeError)},
		{"two names", record(handshakeRecord, handMade(extension(0, vector16([]byte{0}, vector16([]byte("a")), []byte{0}, vector16([]byte("b")))))), Malformed, Alert(alertDecodeError)},
		{"an empty name", record(handshakeRecord, handMade(sni(""))), Malformed, Alert(alertDecodeError)},
		{"a name with a dot at the end", record(handshakeRecord, handMade(sni("acme.red.example.org."))), Malformed, Alert(alertDecodeError)},
		{"an extension that is cut short", record(handshakeRecord, handMade([]byte{0, 0, 0, 9, 0})), Malformed, Alert(alertDecodeError)},
		{"something after the message's end", record(handshakeRecord, message(1, append(handMade(sni("a"))[4:], 0))), Malformed, Alert(alertDecodeError)},
		{"ECH that cannot be read", record(handshakeRecord, handMade(extension(0xfe0d, []byte{9}))), Malformed, Alert(illegalParameter)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(from(tt.sent), nil)
			var problem *Error
			if !errors.As(err, &problem) || problem.Reason != tt.want || !bytes.Equal(problem.Reply, tt.reply) {
				t.Fatalf("got %v, reply %q; want %s, %q", err, problem.Reply, tt.want, tt.reply)
			}
		})
	}
	t.Run("too slow", func(t *testing.T) {
		conn := from(hello[:len(hello)-1])
		conn.end = os.ErrDeadlineExceeded
		var problem *Error
		if _, err := Read(conn, nil); !errors.As(err, &problem) || problem.Reason != Slow || len(problem.Reply) > 0 {
			t.Fatalf("got %v", err)
		}
	})
}

// TestNoMoreThanMaxBytesAreRead, whatever is sent.
func TestNoMoreThanMaxBytesAreRead(t *testing.T) {
	conn := from(slices.Concat(record(handshakeRecord, handMade(extension(21, make([]byte, 60000)))[:16000]), make([]byte, 100000)))
	sent := len(conn.left[0])
	if _, err := Read(conn, nil); err == nil {
		t.Fatal("it was taken for a ClientHello")
	}
	if read := sent - len(conn.left[0]); read > MaxBytes {
		t.Errorf("%d bytes were read", read)
	}
}

// FuzzClientHello: anything at all gives the same result however it is cut, never more bytes than
// were sent, and either a name that one can look up or a reason.
func FuzzClientHello(f *testing.F) {
	hello := ofClient(f, &tls.Config{ServerName: "acme.red.example.org"})
	f.Add(hello, uint64(1))
	f.Add(ofClient(f, withECH(f)), uint64(2))
	f.Add(slices.Concat(record(handshakeRecord, hello[5:100]), record(handshakeRecord, hello[100:])), uint64(3))
	f.Add(record(handshakeRecord, handMade(extension(0x0a0a), sni("A.example.org"), extension(21, make([]byte, 100)))), uint64(4))
	f.Add(append(hello, record(applicationDataRecord, []byte("early"))...), uint64(5))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint64(6))
	f.Add([]byte{0x80, 0x2e, 1, 0, 2}, uint64(7))
	f.Add(bytes.Repeat(record(handshakeRecord, []byte{1}), 4000), uint64(8))
	f.Fuzz(func(t *testing.T, sent []byte, seed uint64) {
		whole, wholeErr := Read(from(bytes.Clone(sent)), nil)
		cut := cutAtRandom(sent, rand.New(rand.NewPCG(seed, 0)))
		parts, partsErr := Read(from(cut[1:]...), cut[0])
		if whole.ServerName != parts.ServerName || !same(wholeErr, partsErr) {
			t.Fatalf("whole: %q, %v; cut: %q, %v", whole.ServerName, wholeErr, parts.ServerName, partsErr)
		}
		for _, got := range []Hello{whole, parts} {
			if len(got.Raw) > MaxBytes || !bytes.HasPrefix(sent, got.Raw) || got.ServerName != strings.ToLower(got.ServerName) {
				t.Fatalf("name %q, %d bytes of %d", got.ServerName, len(got.Raw), len(sent))
			}
		}
	})
}

// cutAtRandom cuts bytes into one piece or more. The first is no longer than what can be read before.
func cutAtRandom(b []byte, random *rand.Rand) [][]byte {
	cut := [][]byte{}
	for {
		n := min(len(b), 1+random.IntN(64))
		cut = append(cut, bytes.Clone(b[:n]))
		if b = b[n:]; len(b) == 0 {
			return cut
		}
	}
}

func same(a, b error) bool {
	var x, y *Error
	if !errors.As(a, &x) || !errors.As(b, &y) {
		return a == nil && b == nil
	}
	return x.Reason == y.Reason && bytes.Equal(x.Reply, y.Reply)
}
