#!/usr/bin/env bash
# The main job from nothing: a management cluster, Teapot in it, a TenantControlPlane, and
# a tenant's API that answers. `demo.sh down` removes what it made.
set -euo pipefail
cd "$(dirname "$0")/.."
. test/lib.sh

CLUSTER=${CLUSTER:-dev}
NAME=acme

# existing_cluster names the cluster of the current kubeconfig and asks before touching it.
existing_cluster() {
	KUBECTL=$(command -v kubectl || true)
	HELM=$(command -v helm || true)
	if [ -z "$KUBECTL" ] || [ -z "$HELM" ]; then
		say "building kubectl and helm, which are not installed"
		devcluster_build
		tools_built
	fi
	local context
	context=$("$KUBECTL" config current-context) || fail "there is no current context; set KUBECONFIG or run kubectl config use-context"
	say "management cluster: context $context, $("$KUBECTL" cluster-info | sed -n '1s/.* at //p')"
	if [ "${YES:-}" != 1 ]; then
		[ -t 0 ] || fail "this would $1 the cluster of context $context; run it with YES=1 to say yes without a terminal"
		read -r -p "$1 this cluster? [y/N] " answer
		[[ $answer =~ ^[Yy] ]] || fail "nothing was changed"
	fi
	CONTEXT=$context
}

# images_to_existing takes Teapot's image to where the existing cluster finds it.
images_to_existing() {
	say "building Teapot's image (amd64 and arm64)"
	go run ./images --platform linux/amd64,linux/arm64 --tag "$TAG" --output dist >/dev/null
	if [[ $CONTEXT == kind-* ]] && command -v kind >/dev/null && [ -z "${IMAGE_REPO_SET:-}" ]; then
		for archive in dist/*.tar; do kind load image-archive "$archive" --name "${CONTEXT#kind-}"; done
	else
		[ -n "${IMAGE_REPO_SET:-}" ] || fail "context $CONTEXT is not a kind cluster: name a registry that it can pull from, for example IMAGE_REPO=registry.example/teapot"
		go run ./images --platform linux/amd64,linux/arm64 --tag "$TAG" --push "$IMAGE_REPO"
	fi
}

up() {
	if [ "$CLUSTER" = existing ]; then
		existing_cluster "install Teapot into"
		images_to_existing
		say "installing Teapot by Helm into namespace $NAMESPACE"
		teapot_install "$(sha256sum dist/*.tar 2>/dev/null | sha256sum | cut -c1-16)"
	else
		make --no-print-directory deps
		devcluster_build
		tools_built
		teapot_into_devcluster
	fi
	say "applying examples/acme.yaml"
	"$KUBECTL" apply -f examples/acme.yaml
	teapot_cli
	bin/teapot wait $NAME --namespace acme --timeout 5m
	say "asking the tenant's API"
	mkdir -p "$PWD/bin"
	bin/teapot proxy $NAME --namespace acme -- "$KUBECTL" get --raw '/readyz?verbose' | tail -1
	bin/teapot proxy $NAME --namespace acme -- "$KUBECTL" get namespaces
	say "done"
	cat <<-EOT

	The control plane "acme" is a Kubernetes API of its own. It has no machines yet. To go on:
	EOT
	[ "$CLUSTER" = existing ] || echo "  export KUBECONFIG=$KUBECONFIG"
	cat <<-EOT
	  bin/teapot get tcp -A
	  bin/teapot proxy acme -n acme -- $KUBECTL get all -A
	  bin/teapot kubeconfig acme -n acme > acme.kubeconfig
	  make demo-down
	EOT
}

down() {
	if [ "$CLUSTER" = existing ]; then
		existing_cluster "remove Teapot and its demo from"
		"$KUBECTL" delete -f examples/acme.yaml --ignore-not-found --timeout 2m
		# Others may have made control planes meanwhile; these still need Teapot.
		if [ -n "$("$KUBECTL" get tenantcontrolplanes -A -o name --ignore-not-found)" ]; then
			say "Teapot stays: there are other control planes"
			return
		fi
		"$HELM" uninstall teapot --namespace "$NAMESPACE" --ignore-not-found --wait
		"$KUBECTL" delete crd tenantcontrolplanes.teapot.dev --ignore-not-found
		"$KUBECTL" delete namespace "$NAMESPACE" --ignore-not-found
	else
		devcluster_build
		bin/devcluster down
	fi
}

case ${1:-up} in
up) up ;;
down) down ;;
*) fail "usage: demo.sh [up|down]" ;;
esac
