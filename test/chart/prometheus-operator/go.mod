module github.com/teapot-cloud/teapot/test/chart/prometheus-operator

go 1.26.8

// Not compiled: the tests of test/chart install its CRDs from the module's folder
// example/prometheus-operator-crd.
require github.com/prometheus-operator/prometheus-operator v0.85.0
