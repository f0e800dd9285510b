package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// web serves metrics and health.
type web struct{ servers []*http.Server }

// startWeb listens before it returns.
func startWeb(flags *flags, registry *prometheus.Registry, ready func() bool) (*web, error) {
	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	health := http.NewServeMux()
	health.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	health.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "the control planes are not known yet, or this gateway is to end", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})

	w := &web{}
	for _, listen := range []struct {
		flag, address string
		handler       http.Handler
	}{{"metrics-bind-address", flags.metricsAddress, metrics}, {"health-probe-bind-address", flags.healthAddress, health}} {
		if listen.address == "0" {
			continue
		}
		listener, err := net.Listen("tcp", listen.address)
		if err != nil {
			w.close()
			return nil, fmt.Errorf("--%s: %w", listen.flag, err)
		}
		server := &http.Server{Handler: listen.handler, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
		w.servers = append(w.servers, server)
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				panic(err) // a listener of its own has failed: without it the pod cannot be told to be well
			}
		}()
	}
	return w, nil
}

func (w *web) close() {
	for _, server := range w.servers {
		_ = server.Close() // the process is about to end
	}
}
