#!/usr/bin/env bash
# All tests: unit and golden, against a real API server, end to end with real pods.
# `run.sh unit` stops before the last, which needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
. test/lib.sh

rm -rf test/out && mkdir -p test/out

say "building the development cluster's program"
devcluster_build
say "building kube-apiserver, etcd, kubectl and helm"
KUBEBUILDER_ASSETS=$(bin/devcluster assets)
tools_built
export KUBEBUILDER_ASSETS KUBECTL HELM

say "checking that generated files are up to date, vet and formatting"
generated=(charts/teapot/files/crds docs/api.md api)
before=$(cat $(find "${generated[@]}" -type f | sort) | sha256sum)
make --no-print-directory generate >/dev/null
after=$(cat $(find "${generated[@]}" -type f | sort) | sha256sum)
[ "$before" = "$after" ] || fail "generated files were stale (make generate rewrote them: commit the result)"
unformatted=$(gofmt -l api cli cmd controllers controlplane docs images internal konnectivity pki test)
[ -z "$unformatted" ] || fail "gofmt would change: $unformatted"
go vet ./...

say "unit, golden and API-server-backed tests"
go test $(go list ./... | grep -v /test/e2e)
[ "${1:-}" = unit ] && exit 0

say "end-to-end tests"
teapot_into_devcluster
teapot_cli
go test -count=1 -timeout 20m ./test/e2e/...
say "all tests passed"
