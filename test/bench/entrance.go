package main

import (
	"context"

	"github.com/teapot-cloud/teapot/test/bench/entrance"
)

// entranceFigures are those of package entrance. They are not of the development cluster.
var entranceFigures = []string{
	entrance.Throughput, entrance.ThroughputOfOne, entrance.Latency, entrance.LatencyTail, entrance.Handshakes, entrance.IdleConnection,
}

func (b *bench) measureEntrance(ctx context.Context, o options) ([]Result, error) {
	figures, err := entrance.Run(ctx, entrance.Options{
		Rounds: o.n, IdleRounds: o.crowds, Connections: o.connections, Progress: progress,
		Traffic: o.wants(entrance.Throughput, entrance.ThroughputOfOne, entrance.Latency, entrance.LatencyTail, entrance.Handshakes),
		Idle:    o.wants(entrance.IdleConnection),
	})
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(figures))
	for i, figure := range figures {
		results[i] = newResult(figure.Name, figure.Unit, figure.Gateway, figure.HAProxy)
	}
	return results, nil
}
