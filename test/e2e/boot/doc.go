// Package boot tests the machines of the machine room by themselves: power, disk and console of
// one that boots on this computer, and what joins a tenant's cluster with user data written by
// hand. Needs root, and the development cluster with Teapot in it (test/run.sh sets it up).
package boot
