# What demo.sh, run.sh and bench.sh share. To be sourced from the root of the repository.

NAMESPACE=${NAMESPACE:-teapot-system}
IMAGE_REPO=${IMAGE_REPO:-ghcr.io/teapot-cloud}
TAG=${TAG:-dev}
STARTED=$SECONDS

# One way of compiling for programs, tests and images: what is compiled once is found in
# Go's cache by all of them.
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath"

say() { printf '[%3ds] %s\n' "$((SECONDS - STARTED))" "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# devcluster_build makes bin/devcluster and sets KUBECTL and HELM to the ones it built.
devcluster_build() {
	mkdir -p bin
	go build -o bin/devcluster ./test/devcluster
}

# tools_built sets KUBECTL and HELM to those of the project's own build.
tools_built() {
	KUBECTL=$(bin/devcluster bin kubectl)
	HELM=$(bin/devcluster bin helm)
}

# teapot_images builds the images for this machine's architecture into dist/.
teapot_images() {
	go run ./images --platform "linux/$(go env GOARCH)" --tag "$TAG" --output dist
}

# teapot_install installs or upgrades Teapot by Helm, unless the very same chart, images and
# values are there already. $1 is the digest of the images; further arguments are Helm's.
teapot_install() {
	local digest=$1; shift
	local chart mark
	chart=$(find charts/teapot -type f -print0 | sort -z | xargs -0 cat | sha256sum | cut -c1-16)
	mark="teapot-$(printf '%s %s %s' "$chart" "$digest" "$*" | sha256sum | cut -c1-16)"
	if ! "$HELM" status teapot --namespace "$NAMESPACE" -o json 2>/dev/null | grep -q "\"description\":\"$mark\""; then
		"$HELM" upgrade --install teapot charts/teapot --namespace "$NAMESPACE" --create-namespace \
			--description "$mark" --wait --timeout 3m \
			--set "image.repository=$IMAGE_REPO/teapot-manager" --set "image.tag=$TAG" \
			--set "gateway.image.repository=$IMAGE_REPO/teapot-gateway" --set "gateway.image.tag=$TAG" \
			--set-string "podAnnotations.teapot\\.dev/image=$digest" \
			--set-string "gateway.podAnnotations.teapot\\.dev/image=$digest" "$@" >/dev/null
	fi
	# The manager, and the gateway unless the values turn it off.
	"$KUBECTL" -n "$NAMESPACE" rollout status deployment -l app.kubernetes.io/instance=teapot --timeout 2m >/dev/null
}

# teapot_into_devcluster starts the development cluster and puts the current Teapot in it.
teapot_into_devcluster() {
	bin/devcluster up
	bin/devcluster machines
	KUBECONFIG=$(bin/devcluster kubeconfig)
	export KUBECONFIG
	say "building Teapot and its images"
	teapot_images >/dev/null
	bin/devcluster load-image dist/*.tar >/dev/null
	say "installing Teapot by Helm into namespace $NAMESPACE"
	teapot_install "$(sha256sum dist/*.tar | sha256sum | cut -c1-16)"
}

# teapot_cli builds bin/teapot.
teapot_cli() { go build -ldflags "-s -w -X github.com/teapot-cloud/teapot/internal/version.Version=$TAG" -o bin/teapot ./cmd/teapot; }
