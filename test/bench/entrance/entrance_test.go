package entrance

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/teapot-cloud/teapot/gateway/hello"
)

// TestRoom is the benchmark's course at a size at which nothing is worth measuring, with the gateway
// alone: haproxy is there for benchmarks only.
func TestRoom(t *testing.T) {
	const connections = 2 * opening
	r, err := openRoom(t.Context(), connections)
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := r.startGateway(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := gateway.Stop(); err != nil {
			t.Error(err)
		}
	})

	const moment = 200 * time.Millisecond
	for _, count := range []int{1, streams} {
		speed, err := throughput(t.Context(), gateway.address, r.hello, count, moment, moment)
		if err != nil {
			t.Fatal(err)
		}
		if speed <= 0 {
			t.Errorf("with %d streams nothing came through", count)
		}
	}
	took, err := r.backend.latencies(t.Context(), gateway.address, kept, 40)
	if err != nil {
		t.Fatal(err)
	}
	if len(took) != 40 || took[0] <= 0 || took[0] > took[39] {
		t.Errorf("requests took %v", took)
	}
	opened, err := r.backend.handshakes(t.Context(), gateway.address, users, moment)
	if err != nil {
		t.Fatal(err)
	}
	if opened <= 0 {
		t.Error("no connection was opened")
	}
	anonymous, resident, err := r.idleKiB(t.Context(), gateway, connections)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d connections: %.2f KiB each, %.2f KiB with what is of files", connections, anonymous, resident)
}

// Whoever serves somebody else than was asked for is found out.
func TestAnswersAreVerified(t *testing.T) {
	b, err := startBackend("127.0.0.1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := startBackend("127.0.0.1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.close(), other.close()); err != nil {
			t.Error(err)
		}
	})
	_, err = b.dialAnswering(t.Context(), other.answering.Addr().String())
	if !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("error %v", err)
	}
	user, liar := net.Pipe()
	go func() { _, _ = liar.Write([]byte("no")) }()
	go func() { _, _ = liar.Read(make([]byte, 2)) }()
	if err := ask(user, []byte("ok"), make([]byte, 2)); err == nil {
		t.Error("a wrong answer was taken")
	}
}

func TestClientHello(t *testing.T) {
	said, err := clientHello(host(sending))
	if err != nil {
		t.Fatal(err)
	}
	user, server := net.Pipe()
	go func() { _, _ = user.Write(said) }()
	read, err := hello.Read(server, nil)
	if err != nil {
		t.Fatal(err)
	}
	if read.ServerName != host(sending) || !bytes.Equal(read.Raw, said) {
		t.Errorf("it asks for %q, with %d of %d bytes", read.ServerName, len(read.Raw), len(said))
	}
}

func TestHAProxyConfig(t *testing.T) {
	var text strings.Builder
	err := haproxyConfig.Execute(&text, map[string]any{"Connections": 7, "Listen": "127.0.0.1:1", "Ways": []way{
		{"tls", "tls.example", "127.0.0.1:2"}, {"bulk", "bulk.example", "127.0.0.1:3"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, ways, found := strings.Cut(text.String(), "frontend users\n")
	const want = `    bind 127.0.0.1:1
    tcp-request inspect-delay 10s
    tcp-request content accept if { req_ssl_hello_type 1 }
    use_backend tls if { req_ssl_sni -i tls.example }
    use_backend bulk if { req_ssl_sni -i bulk.example }

backend tls
    server only 127.0.0.1:2

backend bulk
    server only 127.0.0.1:3
`
	if !found || ways != want {
		t.Errorf("the configuration is\n%s", text.String())
	}
}
