// Package pool decides for WorkerPools: which objects of Cluster API a pool is (objects.go,
// bootstrap.go, autoscaling.go), the Cluster that all pools of a control plane share (cluster.go),
// whether the version asked for may run (skew.go), and what a pool's status says (status.go,
// machines.go). It is pure: what was observed goes in, objects and sentences come out.
// controllers/workerpool does the I/O.
package pool
