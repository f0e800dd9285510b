package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/teapot-cloud/teapot/gateway/hello"
	"github.com/teapot-cloud/teapot/gateway/relay"
	"github.com/teapot-cloud/teapot/gateway/routes"
)

// Reasons for which a connection is not passed on, beside those of package hello. They are values of a
// label, and none comes from a client.
const (
	tooManyConnections    = "too_many_connections"
	tooManyHellos         = "too_many_hellos"
	tooManyHellosOfClient = "too_many_hellos_of_client"
	tooManyOfTenant       = "too_many_connections_of_tenant"
	badProxyHeader        = "bad_proxy_header"
	noName                = "no_name"
	unknownName           = "unknown_name"
	asleep                = "asleep"
	expired               = "held_too_long"
	serverGone            = "server_gone"
)

var reasons = []string{
	tooManyConnections, tooManyHellos, tooManyHellosOfClient, tooManyOfTenant, badProxyHeader, noName, unknownName, asleep, expired, serverGone,
	string(hello.Gone), string(hello.Slow), string(hello.TooLarge), string(hello.NotTLS), string(hello.Malformed),
}

// Metrics are what the gateway counts. No label tells of a tenant or a client.
type Metrics struct {
	connections *prometheus.GaugeVec
	total       *prometheus.CounterVec
	refused     *prometheus.CounterVec
	bytes       [2][2]prometheus.Counter // by direction and path
	writes      *prometheus.CounterVec
	helloTime   prometheus.Histogram
	heldTime    *prometheus.HistogramVec

	readingNow, heldNow, openNow prometheus.Gauge
}

// NewMetrics makes and registers them. count tells how many routes there are.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	const namespace = "teapot_gateway"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	m := &Metrics{
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Name: "connections",
			Help: "Connections of users, by what becomes of them: reading (they have not said whom they ask for), held (they wait for an API server) or open (they are passed on).",
		}, []string{"state"}),
		total:   counter("connections_total", "Connections of users, by what became of them: passed_on or rejected.", "result"),
		refused: counter("rejected_total", "Connections that were not passed on, by reason.", "reason"),
		writes:  counter("writes_total", "Writes to the management cluster (wake: a sleeping control plane was asked for; activity: who is connected), by result: ok or error.", "what", "result"),
		helloTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "hello_seconds",
			Help:    "Time from accepting a connection until it has said whom it asks for, or was found not to.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10},
		}),
		heldTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "held_seconds",
			Help:    "Time for which connections waited for an API server, by result: passed_on or rejected.",
			Buckets: []float64{.1, .25, .5, 1, 2, 3, 4, 5, 6, 7, 8, 8.5, 10},
		}, []string{"result"}),
	}
	bytes := counter("bytes_total", "Bytes passed on, by direction (to_server, to_client) and path: splice (by the kernel alone) or copy.", "direction", "path")
	for direction, named := range map[relay.Direction]string{relay.ToServer: "to_server", relay.ToClient: "to_client"} {
		m.bytes[direction][relay.Splice] = bytes.WithLabelValues(named, "splice")
		m.bytes[direction][relay.Copy] = bytes.WithLabelValues(named, "copy")
	}
	m.readingNow, m.heldNow, m.openNow = m.connections.WithLabelValues("reading"), m.connections.WithLabelValues("held"), m.connections.WithLabelValues("open")
	// What has not happened yet is 0, and not missing.
	for _, result := range []string{resultPassedOn, resultRejected} {
		m.total.WithLabelValues(result)
		m.heldTime.WithLabelValues(result)
	}
	for _, reason := range reasons {
		m.refused.WithLabelValues(reason)
	}
	for _, what := range []routes.What{routes.Wake, routes.Activity} {
		m.writes.WithLabelValues(string(what), "ok")
		m.writes.WithLabelValues(string(what), "error")
	}
	registry.MustRegister(m.connections, m.total, m.refused, bytes, m.writes, m.helloTime, m.heldTime)
	return m
}

const (
	resultPassedOn = "passed_on"
	resultRejected = "rejected"
)

// Routes registers how many names there are.
func (m *Metrics) Routes(registry prometheus.Registerer, table *routes.Table) {
	for state, count := range map[string]func() float64{
		"awake":  func() float64 { awake, _ := table.Count(); return float64(awake) },
		"asleep": func() float64 { _, asleep := table.Count(); return float64(asleep) },
	} {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "teapot_gateway", Name: "routes", Help: "Control planes that can be asked for by name.",
			ConstLabels: prometheus.Labels{"state": state},
		}, count))
	}
}

// Wrote counts a write to the management cluster.
func (m *Metrics) Wrote(what routes.What, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.writes.WithLabelValues(string(what), result).Inc()
}

func (m *Metrics) rejected(reason string) {
	m.total.WithLabelValues(resultRejected).Inc()
	m.refused.WithLabelValues(reason).Inc()
}

func (m *Metrics) passedOn() {
	m.total.WithLabelValues(resultPassedOn).Inc()
	m.openNow.Inc()
}

func (m *Metrics) ended() { m.openNow.Dec() }

func (m *Metrics) count(direction relay.Direction, path relay.Path, n int) {
	m.bytes[direction][path].Add(float64(n))
}

// reading notes that a client is listened to, until the returned function is called.
func (m *Metrics) reading() func() {
	began := time.Now()
	m.readingNow.Inc()
	return func() {
		m.readingNow.Dec()
		m.helloTime.Observe(time.Since(began).Seconds())
	}
}

// holding notes that a connection waits, until the returned function is called.
func (m *Metrics) holding() func(passedOn bool) {
	began := time.Now()
	m.heldNow.Inc()
	return func(passedOn bool) {
		m.heldNow.Dec()
		result := resultRejected
		if passedOn {
			result = resultPassedOn
		}
		m.heldTime.WithLabelValues(result).Observe(time.Since(began).Seconds())
	}
}
