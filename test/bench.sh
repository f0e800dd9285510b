#!/usr/bin/env bash
# Measures the installed Teapot in the development cluster; arguments go to test/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
. test/lib.sh

devcluster_build
tools_built
KUBEBUILDER_ASSETS=$(bin/devcluster assets)
export KUBEBUILDER_ASSETS
teapot_into_devcluster
# The room of an earlier build may run: its machines are left as they are.
go build -o bin/machineroom ./test/machineroom
bin/machineroom up --restart >/dev/null
mkdir -p bench
go run ./test/bench -out bench/results.json ${BENCH_ARGS:-}
