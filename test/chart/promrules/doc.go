// Package promrules checks the chart's alerts and dashboard with Prometheus' own code: that
// they parse, that they name only metrics that manager and gateway export, and that each alert
// fires when it should and only then.
//
// It is a module of its own, so that Prometheus' dependencies stay out of Teapot's. The tests
// of test/chart run it.
package promrules
