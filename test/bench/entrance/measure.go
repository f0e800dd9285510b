package entrance

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Names of the figures.
const (
	Throughput      = "gateway_throughput_vs_haproxy"
	ThroughputOfOne = "gateway_throughput_1_vs_haproxy"
	Latency         = "gateway_latency_vs_haproxy"
	LatencyTail     = "gateway_latency_p99_vs_haproxy"
	Handshakes      = "gateway_handshakes_vs_haproxy"
	IdleConnection  = "gateway_idle_connection_kib"
)

// Figure is one that was measured; its value is the median of the samples.
type Figure struct {
	Name, Unit       string
	Gateway, HAProxy []float64
}

// Options say what is measured.
type Options struct {
	// Rounds is how often each proxy has its turn, and IdleRounds how often for idle connections.
	Rounds, IdleRounds int
	// Connections is how many idle ones there are, if the limit of open files allows it.
	Connections int
	// Traffic and Idle say which figures are taken.
	Traffic, Idle bool
	// Progress tells a person what goes on.
	Progress func(format string, args ...any)
}

const (
	// streams is how many connections there are in Throughput, besides the one of ThroughputOfOne.
	streams = 16
	// speedUp and bulkWindow are the time before bytes count, and that in which they do.
	speedUp    = 500 * time.Millisecond
	bulkWindow = 3 * time.Second
	// requests are sent one after the other on kept connections.
	kept, requests = 4, 4000
	// users open connections, all the time, for handshakeWindow.
	users           = 4
	handshakeWindow = 3 * time.Second
	// turnConnections is how many there may be at once in traffic.
	turnConnections = 1000
)

// Run measures what is asked for.
func Run(ctx context.Context, o Options) (figures []Figure, err error) {
	connections := possible(o.Connections)
	r, err := openRoom(ctx, max(connections+opening, turnConnections))
	defer func() { err = errors.Join(err, r.close()) }()
	if err != nil {
		return nil, err
	}
	if err := r.findHAProxy(); err != nil {
		return nil, err
	}
	if o.Traffic {
		if figures, err = r.traffic(ctx, o); err != nil {
			return nil, err
		}
	}
	if !o.Idle {
		return figures, nil
	}
	if connections < o.Connections {
		o.Progress("%d idle connections instead of %d: the limit of open files (ulimit -n) allows no more", connections, o.Connections)
	}
	idle, err := r.idle(ctx, o, connections)
	return append(figures, idle), err
}

// turn is what one proxy did in one turn.
type turn struct {
	throughput, throughputOfOne, latency, latencyTail, handshakes float64
	// cpu is the proxy's processor time per GiB of Throughput.
	cpu float64
}

// traffic has both proxies take turns, each time in the other order.
func (r *room) traffic(ctx context.Context, o Options) (_ []Figure, err error) {
	gateway, err := r.startGateway(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, gateway.Stop()) }()
	haproxy, err := r.startHAProxy(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, haproxy.Stop()) }()

	turns := map[*proxy][]turn{}
	// What is done first of all is not counted.
	for round := range o.Rounds + 1 {
		order := []*proxy{gateway, haproxy}
		if round%2 == 0 {
			order = []*proxy{haproxy, gateway}
		}
		for _, p := range order {
			taken, err := r.turn(ctx, p)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			if round == 0 {
				continue
			}
			o.Progress("entrance %d/%d: %s: %.0f MiB/s with %d streams (%.2f s of its processor time per GiB), %.0f MiB/s with one; %.0f µs, at p99 %.0f µs; %.0f connections a second",
				round, o.Rounds, p.Name, taken.throughput, streams, taken.cpu, taken.throughputOfOne, taken.latency, taken.latencyTail, taken.handshakes)
			turns[p] = append(turns[p], taken)
		}
	}
	figure := func(name, unit string, of func(turn) float64) Figure {
		samples := func(p *proxy) (s []float64) {
			for _, t := range turns[p] {
				s = append(s, of(t))
			}
			return s
		}
		return Figure{name, unit, samples(gateway), samples(haproxy)}
	}
	return []Figure{
		figure(Throughput, "MiB/s", func(t turn) float64 { return t.throughput }),
		figure(ThroughputOfOne, "MiB/s", func(t turn) float64 { return t.throughputOfOne }),
		figure(Latency, "µs", func(t turn) float64 { return t.latency }),
		figure(LatencyTail, "µs", func(t turn) float64 { return t.latencyTail }),
		figure(Handshakes, "1/s", func(t turn) float64 { return t.handshakes }),
	}, nil
}

func (r *room) turn(ctx context.Context, p *proxy) (t turn, err error) {
	before, err := p.Usage()
	if err != nil {
		return t, err
	}
	if t.throughput, err = throughput(ctx, p.address, r.hello, streams, speedUp, bulkWindow); err != nil {
		return t, err
	}
	after, err := p.Usage()
	if err != nil {
		return t, err
	}
	t.cpu = (after.CPU - before.CPU).Seconds() / (t.throughput * (speedUp + bulkWindow).Seconds() / 1024)
	if t.throughputOfOne, err = throughput(ctx, p.address, r.hello, 1, speedUp, bulkWindow); err != nil {
		return t, err
	}
	took, err := r.backend.latencies(ctx, p.address, kept, requests)
	if err != nil {
		return t, err
	}
	t.latency, t.latencyTail = took[len(took)/2], took[len(took)*99/100]
	t.handshakes, err = r.backend.handshakes(ctx, p.address, users, handshakeWindow)
	return t, err
}

// idle has both proxies take turns, with a new process each time.
func (r *room) idle(ctx context.Context, o Options, connections int) (Figure, error) {
	figure := Figure{Name: IdleConnection, Unit: "KiB"}
	for round := range o.IdleRounds {
		for _, each := range []struct {
			start   func(context.Context) (*proxy, error)
			samples *[]float64
		}{{r.startGateway, &figure.Gateway}, {r.startHAProxy, &figure.HAProxy}} {
			p, err := each.start(ctx)
			if err != nil {
				return Figure{}, err
			}
			anonymous, resident, err := r.idleKiB(ctx, p, connections)
			if err := errors.Join(err, p.Stop()); err != nil {
				return Figure{}, err
			}
			o.Progress("idle connections %d/%d: %s has %.2f KiB for each of %d, %.2f KiB with what is of files", round+1, o.IdleRounds, p.Name, anonymous, connections, resident)
			*each.samples = append(*each.samples, anonymous)
		}
	}
	return figure, nil
}
