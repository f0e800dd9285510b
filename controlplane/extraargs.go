package controlplane

import (
	"strings"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// TenantExtraArgs lists, by the field of spec.components, the flags that a tenant may set in
// extraArgs; every other needs the verb override on the control plane. The chart's
// ValidatingAdmissionPolicy holds the same list, and a test compares them.
//
// A flag is listed if it changes the tenant's own cluster alone: it names no file, address or
// credential of the management side, cannot switch off what keeps tenants apart, and what it
// can make a component consume is bounded by that component's resources. An OIDC issuer is
// dialled through konnectivity, from the tenant's network (see oidcPrefix).
var TenantExtraArgs = map[string][]string{
	"apiServer": {
		"default-not-ready-toleration-seconds", "default-unreachable-toleration-seconds",
		"default-watch-cache-size", "disable-admission-plugins", "event-ttl", "feature-gates",
		"goaway-chance", "max-mutating-requests-inflight", "max-requests-inflight",
		"min-request-timeout",
		"oidc-client-id", "oidc-groups-claim", "oidc-groups-prefix", "oidc-issuer-url",
		"oidc-required-claim", "oidc-username-claim", "oidc-username-prefix",
		"request-timeout", "runtime-config", "service-account-extend-token-expiration",
		"service-account-max-token-expiration", "tls-cipher-suites", "tls-min-version",
	},
	"controllerManager": {
		"cluster-signing-duration", "feature-gates",
		"horizontal-pod-autoscaler-cpu-initialization-period",
		"horizontal-pod-autoscaler-downscale-stabilization",
		"horizontal-pod-autoscaler-initial-readiness-delay",
		"horizontal-pod-autoscaler-sync-period", "horizontal-pod-autoscaler-tolerance",
		"large-cluster-size-threshold", "node-cidr-mask-size", "node-cidr-mask-size-ipv4",
		"node-cidr-mask-size-ipv6", "node-eviction-rate", "node-monitor-grace-period",
		"node-monitor-period", "secondary-node-eviction-rate", "terminated-pod-gc-threshold",
		"unhealthy-zone-threshold",
	},
	"scheduler":          {"feature-gates", "pod-max-in-unschedulable-pods-duration"},
	"etcd":               {"auto-compaction-mode", "auto-compaction-retention", "max-request-bytes", "quota-backend-bytes"},
	"konnectivityServer": {},
}

// extraArgs are a component's further flags. A container's command expands $(NAME) from its
// environment, which a value never means.
// https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/
func extraArgs(spec teapotv1.ComponentSpec) []string {
	args := make([]string, len(spec.ExtraArgs))
	for i, arg := range spec.ExtraArgs {
		args[i] = "--" + arg.Name + "=" + strings.ReplaceAll(arg.Value, "$(", "$$(")
	}
	return args
}
