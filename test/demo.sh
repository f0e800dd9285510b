#!/usr/bin/env bash
# The main job from nothing: a management cluster, Teapot in it, a TenantControlPlane whose API
# answers, machines that boot and join it, and a sleep from which a request wakes it. `demo.sh down`
# removes what it made.
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

# images_to_existing takes Teapot's images to where the existing cluster finds them.
images_to_existing() {
	say "building Teapot's images (amd64 and arm64)"
	go run ./images --platform linux/amd64,linux/arm64 --tag "$TAG" --output dist >/dev/null
	if [[ $CONTEXT == kind-* ]] && command -v kind >/dev/null && [ -z "${IMAGE_REPO_SET:-}" ]; then
		for archive in dist/*.tar; do kind load image-archive "$archive" --name "${CONTEXT#kind-}"; done
	else
		[ -n "${IMAGE_REPO_SET:-}" ] || fail "context $CONTEXT is not a kind cluster: name a registry that it can pull from, for example IMAGE_REPO=registry.example/teapot"
		go run ./images --platform linux/amd64,linux/arm64 --tag "$TAG" --push "$IMAGE_REPO"
	fi
}

# machine_room starts machines and registers them as hosts that the demo's tenant may claim.
machine_room() {
	say "starting the machine room: 3 machines that boot on this computer, behind an Ironic API"
	go build -o bin/machineroom ./test/machineroom
	bin/machineroom up --machines 3 >/dev/null
	"$KUBECTL" apply -f examples/host-policy.yaml
	# Once only: a host's manifest says that it is off, and those of an earlier run are in use.
	bin/machineroom hosts -n metal --first 3 >bin/hosts.yaml
	"$KUBECTL" get -f bin/hosts.yaml >/dev/null 2>&1 || "$KUBECTL" apply -f bin/hosts.yaml >/dev/null
	rm bin/hosts.yaml
}

# pool applies examples/workerpool.yaml, unless an earlier run did, which may have scaled it since.
pool() {
	if "$KUBECTL" -n acme get workerpool workers >/dev/null 2>&1; then
		say "the pool of examples/workerpool.yaml is there"
		return
	fi
	say "applying examples/workerpool.yaml"
	"$KUBECTL" apply -f examples/workerpool.yaml
}

# machines_join waits until the pool has the machines that it wants, and says what they do meanwhile.
machines_join() {
	local now before="" deadline=$((SECONDS + 900))
	while :; do
		now=$("$KUBECTL" -n acme get machineclaims --no-headers -o \
			custom-columns=NAME:.metadata.name,HOST:.status.host.name,PHASE:.status.phase,STATE:.status.hostState)
		[ "$now" = "$before" ] || { sed "s/^/[$(printf %3d $((SECONDS - STARTED)))s]   /" <<<"$now"; before=$now; }
		"$KUBECTL" -n acme wait workerpool/workers --for=condition=Ready --timeout=2s >/dev/null 2>&1 && pool_is_current && return
		[ $SECONDS -lt $deadline ] || fail "the machines are not ready after 15 minutes; see: $KUBECTL -n acme describe workerpool,machineclaims, bin/machineroom list"
	done
}

# pool_is_current says whether the pool's status is about what is wanted of it now.
pool_is_current() {
	[ "$("$KUBECTL" -n acme get workerpool workers -o 'jsonpath={.status.observedGeneration} {.status.availableReplicas}')" = \
		"$("$KUBECTL" -n acme get workerpool workers -o 'jsonpath={.metadata.generation} {.spec.replicas}')" ]
}

# acme prints a field of the demo's control plane, by its path; nothing if there is none.
acme() { "$KUBECTL" -n acme get tenantcontrolplane $NAME -o "jsonpath={$1}"; }

# awake wakes the control plane if it has slept since an earlier run, as examples/acme.yaml lets it.
awake() {
	case $(acme .status.hibernation.phase) in
	Asleep | Hibernating)
		say "the control plane sleeps: waking it"
		bin/teapot resume $NAME --namespace acme --wait
		;;
	esac
}

# as_user runs a command where users of the gateway are. The development cluster's node can be reached in
# the network namespace of the cluster alone.
as_user() {
	if [ "$CLUSTER" = existing ]; then "$@"; else nsenter --net="$(cluster_network)" "$@"; fi
}

# cluster_network prints where the development cluster's network namespace is.
cluster_network() { bin/devcluster status | sed -n 's/.* network namespace \([^,]*\),.*/\1/p'; }

# gateway_answers says whether the gateway's address can be reached. A connection that asks for no name
# wakes nothing.
gateway_answers() {
	local address
	address=$(acme .status.endpoint.gatewayURL)
	address=${address#https://}
	[ -n "$address" ] || return 1
	# shellcheck disable=SC2016 # the inner shell expands these
	as_user timeout 3 bash -c ': <"/dev/tcp/$1/$2"' - "$(tr -d '[]' <<<"${address%:*}")" "${address##*:}" 2>/dev/null
}

# hosts_held prints the hosts that the control plane's machines hold.
hosts_held() {
	"$KUBECTL" get baremetalhosts -A -o 'jsonpath={range .items[?(@.spec.consumerRef.namespace=="acme")]}{.metadata.name}{"\n"}{end}'
}

# hibernation puts the control plane to sleep, shows that nothing of it is left running, and has a
# plain kubectl wake it. An earlier run that showed it has left its mark.
hibernation() {
	if [ -n "$(acme '.metadata.annotations.teapot\.dev/hibernation-requested-at')" ]; then
		say "hibernation was shown before; to see it again: bin/teapot hibernate $NAME -n acme --wait"
		return
	fi
	local own held deadline=$((SECONDS + 300)) began
	own=$(acme .status.namespace)
	say "hibernating: machines are given back, then the pods end"
	bin/teapot hibernate $NAME --namespace acme --wait
	if [ "$CLUSTER" != existing ]; then
		say "waiting until the hosts are clean, and free for others"
		until held=$(hosts_held) && [ -z "$held" ]; do
			[ $SECONDS -lt $deadline ] || fail "these hosts are held still after 5 minutes: $(xargs <<<"$held"); see: $KUBECTL -n acme describe machineclaims"
			sleep 1
		done
		bin/teapot get hosts --namespace metal
		echo "hosts held by $NAME: $(wc -w <<<"$held")"
	fi
	"$KUBECTL" -n "$own" get pods,persistentvolumeclaims
	echo "pods of $NAME: $("$KUBECTL" -n "$own" get pods -o name | wc -l)"
	bin/teapot get tcp --namespace acme
	if ! gateway_answers; then
		say "the gateway cannot be reached from here ($(acme .status.endpoint.gatewayURL)), so no request of this computer's wakes it"
		bin/teapot resume $NAME --namespace acme --wait
		return
	fi
	bin/teapot kubeconfig $NAME --namespace acme --output bin/$NAME.kubeconfig --force
	say "a plain kubectl get nodes, with the kubeconfig that was exported, wakes it"
	began=$(date +%s%N)
	as_user "$KUBECTL" --kubeconfig bin/$NAME.kubeconfig get nodes
	say "answered after $((($(date +%s%N) - began) / 1000000)) ms"
	bin/teapot wait $NAME --namespace acme --for=awake
	bin/teapot get tcp --namespace acme
	if [ "$CLUSTER" != existing ]; then
		say "waiting for new machines"
		machines_join
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
	if [ "$CLUSTER" != existing ]; then
		machine_room
		pool
	fi
	teapot_cli
	awake
	bin/teapot wait $NAME --namespace acme --timeout 5m
	say "asking the tenant's API"
	mkdir -p "$PWD/bin"
	bin/teapot proxy $NAME --namespace acme -- "$KUBECTL" get --raw '/readyz?verbose' | tail -1
	bin/teapot proxy $NAME --namespace acme -- "$KUBECTL" get namespaces
	if [ "$CLUSTER" = existing ]; then
		hibernation
		say "done"
		cat <<-EOT

		The control plane "acme" is a Kubernetes API of its own. It has no machines: those of the
		demo need Linux, root and the development cluster (make demo). To go on:
		EOT
	else
		say "waiting for machines: a host each is claimed, provisioned, booted, and joins"
		machines_join
		# Routes between the pods of two machines, as a network plug-in makes them.
		bin/teapot proxy $NAME --namespace acme -- "$KUBECTL" apply -f test/machineroom/pod-network.yaml
		bin/teapot proxy $NAME --namespace acme -- "$KUBECTL" get nodes -o wide
		if [ "$("$KUBECTL" -n acme get workerpool workers -o 'jsonpath={.spec.replicas}')" = 2 ]; then
			say "scaling the pool to three machines"
			bin/teapot scale pool workers --namespace acme --replicas 3
			machines_join
		fi
		bin/teapot get pools --namespace acme
		bin/teapot get machines --namespace acme
		say "logs of a pod on a machine, by way of konnectivity"
		bin/teapot proxy $NAME --namespace acme -- "$KUBECTL" -n kube-system logs daemonset/kube-proxy --tail 1
		hibernation
		say "done"
		cat <<-EOT

		The control plane "acme" is a Kubernetes API of its own, and its machines have booted. They
		share one flat network: tenants are not kept apart on the wire yet. To go on:
		  export KUBECONFIG=$KUBECONFIG
		  bin/teapot get hosts -A
		  bin/machineroom list
		  bin/teapot scale pool workers -n acme --replicas 1    # gives hosts back
		  bin/teapot hibernate acme -n acme --wait              # gives them all back; this wakes it:
		  bin/teapot kubeconfig acme -n acme -o bin/acme.kubeconfig --force
		  nsenter --net=$(cluster_network) $KUBECTL --kubeconfig bin/acme.kubeconfig get nodes
		EOT
	fi
	cat <<-EOT
	  bin/teapot get tcp -A
	  bin/teapot proxy acme -n acme -- $KUBECTL get all -A
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
		"$KUBECTL" delete crd -l app.kubernetes.io/part-of=teapot --ignore-not-found
		"$KUBECTL" delete namespace "$NAMESPACE" --ignore-not-found
	else
		devcluster_build
		go build -o bin/machineroom ./test/machineroom
		bin/machineroom down
		bin/devcluster down
	fi
}

case ${1:-up} in
up) up ;;
down) down ;;
*) fail "usage: demo.sh [up|down]" ;;
esac
