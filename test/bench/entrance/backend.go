package entrance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"time"
)

// The two servers, by the names that users ask for. Owners are control planes of one namespace.
const (
	owners = "bench"
	domain = "gateway.example"
	// answering is an echo over TLS.
	answering = "tls"
	// sending takes a ClientHello for what it is and goes on without TLS: neither proxy looks at what
	// follows, and encrypting it would take most of the computer.
	sending = "bulk"
)

// host is the name that users ask for.
func host(name string) string { return name + "." + owners + "." + domain }

// chunk is what the sending server writes, and its users read, at once.
const chunk = 256 << 10

// messageBytes is the size of a request to the answering server, and of its answer.
const messageBytes = 512

// backend is both servers.
type backend struct {
	answering, sending net.Listener
	// trusted is by whom the answering server is trusted.
	trusted *x509.CertPool

	mu   sync.Mutex
	open map[net.Conn]struct{}
	done sync.WaitGroup
}

// startBackend starts both servers on an address.
func startBackend(address string, now time.Time) (*backend, error) {
	certificate, err := newCertificate(host(answering), now)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of %s: %w", host(answering), err)
	}
	b := &backend{trusted: x509.NewCertPool(), open: map[net.Conn]struct{}{}}
	b.trusted.AddCert(certificate.Leaf)
	if b.answering, err = net.Listen("tcp", net.JoinHostPort(address, "0")); err != nil {
		return nil, err
	}
	if b.sending, err = net.Listen("tcp", net.JoinHostPort(address, "0")); err != nil {
		return nil, errors.Join(err, b.answering.Close())
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	b.done.Go(func() { b.accept(b.answering, func(c net.Conn) { echo(tls.Server(c, config)) }) })
	b.done.Go(func() { b.accept(b.sending, send) })
	return b, nil
}

// accept serves connections until the listener is closed.
func (b *backend) accept(listener net.Listener, serve func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// For want of descriptors; whoever waits for an answer finds out.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		b.mu.Lock()
		b.open[conn] = struct{}{}
		b.mu.Unlock()
		b.done.Go(func() {
			serve(conn)
			_ = conn.Close() // who has gone needs no more
			b.mu.Lock()
			delete(b.open, conn)
			b.mu.Unlock()
		})
	}
}

func (b *backend) close() error {
	err := errors.Join(b.answering.Close(), b.sending.Close())
	b.mu.Lock()
	for conn := range b.open {
		_ = conn.Close() // as above
	}
	b.mu.Unlock()
	b.done.Wait()
	return err
}

// echo answers each message with itself until the user is gone.
func echo(conn *tls.Conn) {
	message := make([]byte, messageBytes)
	for {
		if _, err := io.ReadFull(conn, message); err != nil {
			return
		}
		if _, err := conn.Write(message); err != nil {
			return
		}
	}
}

// send reads a ClientHello and answers with one byte. When the user says one, it sends until the user
// is gone.
func send(conn net.Conn) {
	if _, err := readRecord(conn); err != nil {
		return
	}
	word := []byte{0}
	if _, err := conn.Write(word); err != nil {
		return
	}
	if _, err := io.ReadFull(conn, word); err != nil {
		return
	}
	for zeros := make([]byte, chunk); ; {
		if _, err := conn.Write(zeros); err != nil {
			return
		}
	}
}

// readRecord reads one record of TLS: five bytes, of which the last two are the length of the rest
// (RFC 8446, section 5.1).
func readRecord(from io.Reader) ([]byte, error) {
	header := make([]byte, 5)
	if _, err := io.ReadFull(from, header); err != nil {
		return nil, err
	}
	record := append(header, make([]byte, binary.BigEndian.Uint16(header[3:]))...)
	_, err := io.ReadFull(from, record[len(header):])
	return record, err
}

// clientHello is what a TLS client says first that asks for a name.
func clientHello(name string) ([]byte, error) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go func() { _ = tls.Client(client, &tls.Config{ServerName: name}).Handshake() }() // it gets no answer
	return readRecord(server)
}

// newCertificate makes a certificate that is its own authority.
func newCertificate(name string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	made, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(made)
	return tls.Certificate{Certificate: [][]byte{made}, PrivateKey: key, Leaf: leaf}, err
}
