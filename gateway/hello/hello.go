// Package hello reads what a TLS client says first: the ClientHello, which holds the name of the
// server that is asked for. Nothing is decrypted and nothing of TLS is spoken. The parser is that of
// crypto/tls, run on a connection that only records; what it would have answered to bytes that are no
// ClientHello is the answer here too.
package hello

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
)

// MaxBytes is how much of a connection is read at most in search of a ClientHello: one of 16 KiB in a
// record of its own, with their headers. Those of browsers with post-quantum keys and ECH have about
// 2 KiB. One that comes in many records has that much less room.
const MaxBytes = 16<<10 + recordHeader + messageHeader

const (
	recordHeader  = 5
	messageHeader = 4
)

// TLS alerts (RFC 8446, section 6.2).
const (
	AlertAccessDenied     = 49
	alertDecodeError      = 50
	AlertInternalError    = 80
	AlertUnrecognizedName = 112
)

// Alert is a fatal alert as a record, in the form that crypto/tls gives it before a version is agreed.
func Alert(description byte) []byte {
	const alertRecord, fatal = 21, 2
	return []byte{alertRecord, 3, 1, 0, 2, fatal, description}
}

// Hello is a ClientHello.
type Hello struct {
	// ServerName is the name asked for, in lower case; empty if there is none. With ECH it is the
	// outer one.
	ServerName string
	// Raw is all that was read: the ClientHello, and what may have come right after it.
	Raw []byte
}

// Reason is a word for why there is no ClientHello.
type Reason string

// Reasons.
const (
	// Gone: the client ended the connection before.
	Gone Reason = "gone"
	// Slow: it was not all there in time.
	Slow Reason = "slow"
	// TooLarge: it has more than MaxBytes.
	TooLarge Reason = "too_large"
	// NotTLS: the bytes are those of another protocol.
	NotTLS Reason = "not_tls"
	// Malformed: TLS, but no ClientHello, or one that breaks the rules.
	Malformed Reason = "malformed"
)

// Error is why there is no ClientHello.
type Error struct {
	Reason Reason
	// Reply is what to send before the connection is closed; empty if there is nothing to say.
	Reply []byte
	Err   error
}

func (e *Error) Error() string { return "no ClientHello (" + string(e.Reason) + "): " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Read reads a ClientHello. already is what has been read of the connection before. It writes nothing,
// and fails with an *Error. The caller sets the connection's read deadline.
func Read(conn net.Conn, already []byte) (Hello, error) {
	r := &recorder{Conn: conn, raw: make([]byte, 0, max(2048, len(already)))}
	r.raw = append(r.raw, already...)
	err := tls.Server(r, parser).Handshake()
	if r.parsed {
		return Hello{ServerName: strings.ToLower(r.name), Raw: r.raw}, nil
	}
	return Hello{}, r.problem(err)
}

// parser ends a handshake as soon as the ClientHello is parsed.
var parser = &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
	r := info.Conn.(*recorder)
	r.name, r.parsed = info.ServerName, true
	return nil, errParsed
}}

var (
	errParsed   = errors.New("the ClientHello is read")
	errTooLarge = errors.New("it is too large")
)

// recorder is a connection that keeps what is read, up to MaxBytes, and what would be written.
type recorder struct {
	net.Conn
	raw   []byte
	taken int // of raw, by the parser
	reply []byte

	parsed bool
	name   string
	failed error // of reading
}

func (r *recorder) Read(p []byte) (int, error) {
	if r.taken == len(r.raw) {
		room := MaxBytes - len(r.raw)
		if room <= 0 {
			r.failed = errTooLarge
			return 0, r.failed
		}
		n, err := r.Conn.Read(p[:min(len(p), room)])
		r.raw = append(r.raw, p[:n]...)
		if err != nil {
			r.failed = err
		}
		r.taken = len(r.raw)
		return n, err
	}
	n := copy(p, r.raw[r.taken:])
	r.taken += n
	return n, nil
}

func (r *recorder) Write(p []byte) (int, error) {
	r.reply = append(r.reply, p...)
	return len(p), nil
}

func (r *recorder) Close() error { return nil }

func (r *recorder) problem(err error) *Error {
	var header tls.RecordHeaderError
	switch {
	case errors.Is(r.failed, errTooLarge):
		return &Error{TooLarge, Alert(alertDecodeError), r.failed}
	case errors.Is(r.failed, os.ErrDeadlineExceeded):
		return &Error{Slow, nil, r.failed}
	case r.failed != nil:
		return &Error{Gone, nil, r.failed}
	case errors.As(err, &header) && len(r.reply) == 0:
		return &Error{NotTLS, httpReply(r.raw), err}
	default:
		return &Error{Malformed, r.reply, err}
	}
}

// httpReply is what net/http's server, and so an API server, tells those who speak HTTP to it without
// TLS.
func httpReply(said []byte) []byte {
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO"} {
		if bytes.HasPrefix(said, []byte(method)) {
			return []byte("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		}
	}
	return nil
}
