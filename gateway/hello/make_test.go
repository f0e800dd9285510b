package hello

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
)

// pieces is a connection whose other end sends these, one for each read, and then ends.
type pieces struct {
	net.Conn
	left [][]byte
	end  error
}

func (p *pieces) Read(b []byte) (int, error) {
	for len(p.left) > 0 && len(p.left[0]) == 0 {
		p.left = p.left[1:]
	}
	if len(p.left) == 0 {
		if p.end != nil {
			return 0, p.end
		}
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	p.left[0] = p.left[0][n:]
	return n, nil
}

func (p *pieces) Write([]byte) (int, error) { panic("something was written") }

func from(sent ...[]byte) *pieces { return &pieces{left: sent} }

// split cuts bytes at a position.
func split(b []byte, at int) [][]byte { return [][]byte{b[:at], b[at:]} }

// catcher keeps what a client says first.
type catcher struct {
	net.Conn
	said []byte
}

func (c *catcher) Write(b []byte) (int, error) {
	c.said = append(c.said, b...)
	return len(b), nil
}
func (c *catcher) Read([]byte) (int, error) { return 0, io.EOF }
func (c *catcher) Close() error             { return nil }

// ofClient is what a client of crypto/tls says first.
func ofClient(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	c := &catcher{}
	if err := tls.Client(c, config).Handshake(); err == nil || len(c.said) == 0 {
		t.Fatalf("a client said %x and failed with %v", c.said, err)
	}
	return c.said
}

// withECH is the configuration of a client that asks for secret.example.org, hidden behind
// public.example.org.
func withECH(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const x25519, sha256, aes128 = 0x20, 1, 1
	contents := slices.Concat([]byte{1}, u16(x25519), vector16(key.PublicKey().Bytes()), vector16(u16(sha256), u16(aes128)), []byte{0}, vector8([]byte("public.example.org")), u16(0))
	return &tls.Config{
		ServerName: "secret.example.org", MinVersion: tls.VersionTLS13,
		EncryptedClientHelloConfigList: vector16(u16(0xfe0d), vector16(contents)),
	}
}

// extension is one extension of a ClientHello.
func extension(kind uint16, contents ...[]byte) []byte {
	return slices.Concat(u16(kind), vector16(contents...))
}

// sni is the extension that names a server.
func sni(name string) []byte {
	return extension(0, vector16([]byte{0}, vector16([]byte(name))))
}

// handMade is a ClientHello with these extensions, as a handshake message.
func handMade(extensions ...[]byte) []byte {
	body := slices.Concat(u16(0x0303), make([]byte, 32), vector8(), vector16(u16(0x0a0a), u16(0x1301), u16(0xc02b)), vector8([]byte{0}), vector16(extensions...))
	return message(1, body)
}

// message is a handshake message.
func message(kind byte, body []byte) []byte {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	return slices.Concat([]byte{kind}, length[1:], body)
}

// record is a record of TLS.
func record(kind byte, contents ...[]byte) []byte {
	return slices.Concat([]byte{kind, 3, 1}, vector16(contents...))
}

const (
	handshakeRecord       = 22
	applicationDataRecord = 23
	changeCipherRecord    = 20
)

func u16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func vector8(contents ...[]byte) []byte {
	all := slices.Concat(contents...)
	return append([]byte{byte(len(all))}, all...)
}

func vector16(contents ...[]byte) []byte {
	all := slices.Concat(contents...)
	return append(u16(uint16(len(all))), all...)
}
