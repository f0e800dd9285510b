#!/usr/bin/env bash
# All tests: unit and golden, against a real API server, end to end with real pods.
# `run.sh unit` stops before the last, which needs root; `run.sh long` is the last, with the tests
# that take long, ROUNDS times.
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
say "building clusterctl and Cluster API's managers"
bin/devcluster bin clusterctl >/dev/null
bin/devcluster bin cluster-api-controller >/dev/null

# end_to_end runs the tests that need real pods, a number of times, and gives each so many minutes.
end_to_end() {
	say "end-to-end tests"
	teapot_into_devcluster
	teapot_cli
	# Most of a test is waiting for pods; four at a time keep two cores busy, more make time-outs.
	# One package after the other: some compare the whole cluster before and after.
	go test -p 1 -count="$1" -parallel 4 -timeout "$(($2 * $1))m" ./test/e2e/...
}
if [ "${1:-}" = long ]; then
	say "what no ClientHello is"
	go test -run '^$' -fuzz FuzzClientHello -fuzztime "${ROUNDS}m" ./gateway/hello
	say "claim race"
	TEAPOT_RACE_CLAIMS=$((ROUNDS * 100)) go test -count=1 -run TestRace -timeout 60m ./controllers/machineclaim
	TEAPOT_TEST_LONG=1 end_to_end "$ROUNDS" 120
	exit
fi

say "checking that generated files are up to date, vet and formatting"
generated=(charts/teapot/files/crds docs/api.md api)
before=$(cat $(find "${generated[@]}" -type f | sort) | sha256sum)
make --no-print-directory generate >/dev/null
after=$(cat $(find "${generated[@]}" -type f | sort) | sha256sum)
[ "$before" = "$after" ] || fail "generated files were stale (make generate rewrote them: commit the result)"
unformatted=$(gofmt -l api cli cmd controllers controlplane docs gateway images internal konnectivity pki release test workers)
[ -z "$unformatted" ] || fail "gofmt would change: $unformatted"
go vet ./...

say "unit, golden and API-server-backed tests"
# The control plane's controller has the longest: seven minutes and a half on two cores.
go test -timeout 20m $(go list ./... | grep -v /test/e2e)
[ "${1:-}" = unit ] && exit 0

end_to_end 1 45
say "all tests passed"
