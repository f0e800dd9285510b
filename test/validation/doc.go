// Package validation proves what the schemas of Teapot's kinds refuse and accept.
//
// cases_test.go is the specification: bad inputs with the sentence that is expected,
// and good ones. server_test.go puts each before a real kube-apiserver. coverage_test.go
// takes every constraint of the schemas away in turn and fails if no bad input then
// passes: what is left out of cases_test.go is found, and so is a constraint that
// another one makes superfluous.
package validation
