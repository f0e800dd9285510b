// Package validation proves what the schemas of Teapot's kinds refuse and accept.
//
// The files cases_*.go are the specification: bad inputs with the sentence that is expected,
// and good ones. kinds_test.go makes of those of a control plane the template's, and
// cases_machines_test.go of what is asked of a host those of each kind that asks it, so that one
// table serves several kinds. server_test.go puts each before a real kube-apiserver.
// coverage_test.go takes every constraint of the schemas away in turn and fails if no bad
// input then passes: what is left out of the tables is found, and so is a constraint that
// another one makes superfluous.
package validation
