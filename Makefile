# Everything that a person or CI does. Each target says what it is for in `make help`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# dev: the development cluster of test/devcluster. existing: that of the current kubeconfig.
CLUSTER ?= dev
IMAGE_REPO ?= ghcr.io/teapot-cloud
# Whether somebody named a registry: then images are pushed there.
export IMAGE_REPO_SET := $(if $(filter file default,$(origin IMAGE_REPO)),,1)
TAG ?= dev
NAMESPACE ?= teapot-system

# Debian packages that building and running the development cluster and the machine room needs.
# runc is built with cgo and libseccomp, pause with gcc; kube-proxy and the CNI plug-ins call nft
# and iptables; machines boot a Debian of their own.
PACKAGES := ca-certificates debian-archive-keyring debootstrap e2fsprogs gcc git iproute2 iptables libc6-dev libseccomp-dev make nftables pkg-config


# One way of compiling for programs, tests and images, so that Go's cache serves them all.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -trimpath

.PHONY: help
help: ## show this
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install the Debian packages that are missing
	@missing=""; for p in $(PACKAGES); do \
		dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
		echo "installing$$missing"; \
		DEBIAN_FRONTEND=noninteractive apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

.PHONY: assets
assets: ## build kube-apiserver, etcd and kubectl, which tests of the API need, and print where they are
	@mkdir -p bin && go build -o bin/devcluster ./test/devcluster
	@bin/devcluster assets

.PHONY: build
build: ## build teapot, teapot-manager and teapot-gateway into bin/
	@mkdir -p bin
	go build -ldflags "$(LDFLAGS)" -o bin/ ./cmd/...

# Without these, kubeadm's code linked into the manager takes itself for v0.0.0.
KUBERNETES_VERSION := $(shell sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' go.mod)
LDFLAGS := -s -w \
	-X github.com/teapot-cloud/teapot/internal/version.Version=$(TAG) \
	-X k8s.io/component-base/version.gitVersion=$(KUBERNETES_VERSION) \
	-X k8s.io/component-base/version.gitMajor=1 \
	-X k8s.io/component-base/version.gitMinor=$(word 2,$(subst ., ,$(KUBERNETES_VERSION))) \
	-X k8s.io/client-go/pkg/version.gitVersion=$(KUBERNETES_VERSION)

.PHONY: generate
generate: ## rewrite CRDs, deep copies and docs/api.md from the types
	go tool controller-gen object paths=./api/... crd:crdVersions=v1 output:crd:dir=charts/teapot/files/crds
	go run ./docs/gen

.PHONY: golden
golden: ## rewrite the golden files
	go test ./controlplane/... ./konnectivity/... ./workers/pool -update

.PHONY: images
images: ## build Teapot's images (amd64 and arm64) as OCI archives into dist/
	go run ./images --platform linux/amd64,linux/arm64 --tag $(TAG) --output dist

.PHONY: release-manifests
release-manifests: ## write what clusterctl installs Teapot from into dist/clusterctl
	@mkdir -p bin && go build -o bin/devcluster ./test/devcluster
	go run ./release --helm "$$(bin/devcluster bin helm)" --image $(IMAGE_REPO)/teapot-manager --output dist/clusterctl

.PHONY: demo
demo: ## start everything and end with a tenant's API that answers
	@CLUSTER=$(CLUSTER) IMAGE_REPO=$(IMAGE_REPO) TAG=$(TAG) NAMESPACE=$(NAMESPACE) test/demo.sh

.PHONY: demo-down
demo-down: ## remove what the demo made (the builds are kept)
	@CLUSTER=$(CLUSTER) NAMESPACE=$(NAMESPACE) test/demo.sh down


.PHONY: test
test: deps ## unit, golden, API-server-backed and end-to-end tests
	@test/run.sh

.PHONY: test-long
test-long: deps ## the end-to-end tests again and again (ROUNDS=5)
	@ROUNDS=$(or $(ROUNDS),5) test/run.sh long

.PHONY: test-unit
test-unit: ## the tests that need neither root nor a cluster
	@test/run.sh unit

# What the gateway is measured against; `make deps` alone leaves it out.
bench: PACKAGES += haproxy

.PHONY: bench
bench: deps ## measure, against a floor in the same run, into bench/results.json
	@test/bench.sh
