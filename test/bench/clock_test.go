package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// slowStarter answers 403, then 500, then 200, as an API server does while it starts, and
// counts the connections that were made for it.
func slowStarter(t *testing.T, answers ...int) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var asked, connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(answers[min(int(asked.Add(1)), len(answers))-1])
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, &connections
}

func clientOf(server *httptest.Server) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

func TestAnsweredAsksOnOneConnection(t *testing.T) {
	server, connections := slowStarter(t, http.StatusForbidden, http.StatusInternalServerError, http.StatusOK)
	begun := time.Now()
	at, err := question{url: server.URL}.answeredTo(t.Context(), clientOf(server))
	if err != nil {
		t.Fatal(err)
	}
	if took := at.Sub(begun); took < 2*tick {
		t.Errorf("the third question was asked after %s, before its time", took)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
}

func TestAnsweredSaysWhatTheLastAnswerWas(t *testing.T) {
	server, _ := slowStarter(t, http.StatusForbidden)
	ctx, cancel := context.WithTimeout(t.Context(), 3*tick)
	defer cancel()
	_, err := question{url: server.URL}.answeredTo(ctx, clientOf(server))
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v", err)
	}
}
