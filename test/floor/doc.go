// Package floor runs a control plane written by hand, as the floor that Teapot's own are
// measured against: one pod with everything in it, the same images, flags and rights as
// Teapot's, tuned to start as fast as it can. Its keys, Secrets and Service exist before
// the clock starts; only the volume claim and the pod are on it.
//
// floor.yaml.tmpl is the whole of it and is not made by Teapot's planner. A test compares
// the two, so that neither is given an advantage by accident.
package floor
