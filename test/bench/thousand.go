package main

import (
	"context"

	"github.com/teapot-cloud/teapot/test/bench/thousand"
)

// fewTenants is at how many control planes a reconcile's time is compared with that at all.
const fewTenants = 100

// thousandFigures are those of package thousand. They are not of the development cluster.
var thousandFigures = []string{
	thousand.Converge, thousand.Memory, thousand.BaseMemory, thousand.CPU, thousand.SteadyWrites, thousand.Reconcile,
	thousand.ReconcileGrowth, thousand.Restart, thousand.RestartWrites, thousand.RestartCPU, thousand.RestartRequests,
}

// restFigures are those of package thousand about control planes that sleep.
var restFigures = []string{thousand.RestWrites, thousand.RestMemory, thousand.RestCPU}

func (b *bench) measureThousand(ctx context.Context, o options) ([]Result, error) {
	progress("%d control planes without pods", o.tenants)
	figures, err := thousand.Run(ctx, thousand.Options{
		Tenants: o.tenants, Few: min(fewTenants, o.tenants), Progress: progress,
		Awake: o.wants(thousandFigures...), Asleep: o.wants(restFigures...),
	})
	if err != nil {
		return nil, err
	}
	return withoutFloor(figures), nil
}

// machinesPerPool is how many machines each pool has whose figures are taken.
const machinesPerPool = 10

// poolFigures are those of package thousand about pools.
var poolFigures = []string{thousand.PoolsConverge, thousand.PoolsWrites, thousand.PoolsSteadyWrites}

func (b *bench) measurePools(ctx context.Context, o options) ([]Result, error) {
	progress("%d pools of %d machines that do not boot", o.pools, machinesPerPool)
	figures, err := thousand.RunPools(ctx, thousand.PoolOptions{Pools: o.pools, Machines: machinesPerPool, Progress: progress})
	if err != nil {
		return nil, err
	}
	return withoutFloor(figures), nil
}

func withoutFloor(figures []thousand.Figure) []Result {
	results := make([]Result, len(figures))
	for i, figure := range figures {
		results[i] = newResult(figure.Name, figure.Unit, figure.Samples, nil)
	}
	return results
}
