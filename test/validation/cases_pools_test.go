package validation

import (
	"fmt"
	"slices"
	"strings"
)

// poolFields are those that a WorkerPool needs beside an image.
const poolFields = "controlPlaneName: acme, replicas: 3, version: v1.36.3"

// poolOf makes of what is asked of a host the spec of a pool of such machines.
func poolOf(request string) string { return "{" + poolFields + ", " + strings.TrimPrefix(request, "{") }

// pool returns a pool's spec with the minimum and further fields.
func pool(fields string) string { return poolOf(request(fields)) }

// inPool returns a pool's spec with the minimum and a value nested as the path says.
func inPool(path, value string) string { return poolOf(inRequest(path, value)) }

// sizedPool returns a pool's spec with other fields for its size.
func sizedPool(fields string) string {
	return "{controlPlaneName: acme, version: v1.36.3, " + image + ", " + fields + "}"
}

// versionedPool returns a pool's spec with another version.
func versionedPool(version string) string {
	return "{controlPlaneName: acme, replicas: 3, version: " + version + ", " + image + "}"
}

// planePool returns a pool's spec with another control plane.
func planePool(name string) string {
	return "{controlPlaneName: " + name + ", replicas: 3, version: v1.36.3, " + image + "}"
}

// badPools is every bad input that only a WorkerPool can have.
func badPools() []badInput {
	const (
		wantName      = "metadata.name: must be a DNS label of at most 40 characters (a-z, 0-9 and '-', no dots), since the names of machines are made from it"
		wantPlane     = "must be the name of a TenantControlPlane of this namespace (lower-case letters, digits and '-')"
		wantSize      = "give either a number of machines or spec.autoscaling, not both: with autoscaling the autoscaler decides"
		wantVersion   = "must be a released version of Kubernetes in the form vMAJOR.MINOR.PATCH, for example v1.36.3"
		wantDomain    = "must be the value of a label (letters, digits, '-', '_' and '.', not at its ends), since it is compared with the host's label infrastructure.cluster.x-k8s.io/failure-domain; leave it out for any"
		wantNodeLabel = "keys of kubernetes.io and k8s.io must be topology.kubernetes.io/zone or region, or of node-role.kubernetes.io, node-restriction.kubernetes.io, node.kubernetes.io or kubelet.kubernetes.io: a kubelet may not give its Node others"
		wantPath      = "must be an absolute path of a file, of letters, digits, '-', '_', '.', '@' and '+' between slashes, for example /etc/sysctl.d/90-pool.conf"
	)
	autoscaling := func(fields string) string { return sizedPool("autoscaling: {" + fields + "}") }
	taint := func(fields string) string { return pool("taints: [{" + fields + "}]") }
	minimal := pool("")
	return slices.Concat(badConditions(minimal), badPoolFiles(wantPath), badPoolChanges(), []badInput{
		{name: "a name too long for names of machines", object: strings.Repeat("a", 41), spec: minimal, want: wantName},
		{name: "a name with a dot", object: "workers.acme", spec: minimal, want: wantName},
		{name: "no spec", field: "spec", want: "Required value"},

		{name: "no control plane", spec: "{replicas: 3, version: v1.36.3, " + image + "}", field: "spec.controlPlaneName", want: "Required value"},
		{name: "an empty control plane", spec: planePool("''"), field: "spec.controlPlaneName", want: wantPlane},
		{name: "a control plane of another namespace", spec: planePool("globex/acme"), field: "spec.controlPlaneName", want: wantPlane},
		{name: "a control plane with a name too long", spec: planePool(strings.Repeat("a", 51)), field: "spec.controlPlaneName", want: "may not be more than 50"},
		{name: "another control plane later", from: minimal, spec: planePool("globex"), field: "spec.controlPlaneName", want: "cannot be changed, since machines know one control plane; make a new pool"},

		{name: "no size", spec: sizedPool(""), field: "spec.replicas", want: wantSize},
		{name: "two sizes", spec: pool("autoscaling: {minReplicas: 1, maxReplicas: 2}"), field: "spec.replicas", want: wantSize},
		{name: "less than no machine", spec: sizedPool("replicas: -1"), field: "spec.replicas", want: "should be greater than or equal to 0"},
		{name: "too many machines", spec: sizedPool("replicas: 10001"), field: "spec.replicas", want: "should be less than or equal to 10000"},
		{name: "no least size", spec: autoscaling("maxReplicas: 2"), field: "spec.autoscaling.minReplicas", want: "Required value"},
		{name: "no greatest size", spec: autoscaling("minReplicas: 2"), field: "spec.autoscaling.maxReplicas", want: "Required value"},
		{name: "bounds the wrong way around", spec: autoscaling("minReplicas: 3, maxReplicas: 2"), field: "spec.autoscaling.minReplicas", want: "must not be more than maxReplicas"},
		{name: "a least size of less than nothing", spec: autoscaling("minReplicas: -1, maxReplicas: 2"), field: "spec.autoscaling.minReplicas", want: "should be greater than or equal to 0"},
		{name: "a greatest size of nothing", spec: autoscaling("minReplicas: 0, maxReplicas: 0"), field: "spec.autoscaling.maxReplicas", want: "should be greater than or equal to 1"},
		{name: "a greatest size too great", spec: autoscaling("minReplicas: 0, maxReplicas: 10001"), field: "spec.autoscaling.maxReplicas", want: "should be less than or equal to 10000"},

		{name: "no version", spec: "{controlPlaneName: acme, replicas: 3, " + image + "}", field: "spec.version", want: "Required value"},
		{name: "a version without v", spec: versionedPool("1.36.3"), field: "spec.version", want: wantVersion},
		{name: "a minor version", spec: versionedPool("v1.36"), field: "spec.version", want: wantVersion},
		{name: "a version not yet released", spec: versionedPool("v1.36.3-rc.1"), field: "spec.version", want: wantVersion},
		{name: "a version with a zero before", spec: versionedPool("v1.036.3"), field: "spec.version", want: wantVersion},
		{name: "a version of another major", spec: versionedPool("v2.0.0"), field: "spec.version", want: wantVersion},
		{name: "a version too long", spec: versionedPool("v1.36." + strings.Repeat("1", 11)), field: "spec.version", want: "may not be more than 16"},

		{name: "an empty failure domain", spec: pool("failureDomain: ''"), field: "spec.failureDomain", want: wantDomain},
		{name: "a failure domain too long", spec: pool("failureDomain: " + strings.Repeat("a", 64)), field: "spec.failureDomain", want: "may not be more than 63"},

		{name: "too many Nodes' labels", spec: pool("labels: {" + numbered("l%d: a", 33) + "}"), field: "spec.labels", want: "must have at most 32 items"},
		{name: "Nodes' labels too long together", spec: pool("labels: {" + numbered("l%d: "+strings.Repeat("a", 60), 20) + "}"), field: "spec.labels", want: "give fewer or shorter ones"},
		{name: "a Node's label without name", spec: pool("labels: {example.com/: a}"), field: "spec.labels", want: "keys must be those of labels, for example example.com/rack"},
		{name: "a Node's label that Kubernetes keeps for itself", spec: pool("labels: {kubernetes.io/os: windows}"), field: "spec.labels", want: wantNodeLabel},
		{name: "a Node's label of Kubernetes that kubelets may not set", spec: pool("labels: {scheduling.k8s.io/rack: a}"), field: "spec.labels", want: wantNodeLabel},
		{name: "a Node's role in a subdomain", spec: pool("labels: {a.node-role.kubernetes.io/b: c}"), field: "spec.labels", want: wantNodeLabel},
		{name: "a Node's place by a label that there is not", spec: pool("labels: {topology.kubernetes.io/rack: a}"), field: "spec.labels", want: wantNodeLabel},
		{name: "a Node's label with a space in its value", spec: pool("labels: {rack: 'a 1'}"), field: "spec.labels[rack]", want: "must be the value of a label"},
		{name: "a Node's label with a value too long", spec: pool("labels: {rack: " + strings.Repeat("a", 64) + "}"), field: "spec.labels.rack", want: "may not be more than 63"},

		{name: "a taint without key", spec: taint("effect: NoSchedule"), field: "spec.taints[0].key", want: "Required value"},
		{name: "a taint with an impossible key", spec: taint("key: a/b/c, effect: NoSchedule"), field: "spec.taints[0].key", want: "must be a key as labels have them, for example example.com/gpu"},
		{name: "a taint with a key too long", spec: taint("key: " + strings.Repeat("a", 318) + ", effect: NoSchedule"), field: "spec.taints[0].key", want: "may not be more than 317"},
		{name: "a taint with an impossible value", spec: taint("key: a, value: 'b c', effect: NoSchedule"), field: "spec.taints[0].value", want: "must be the value of a label"},
		{name: "a taint with a value too long", spec: taint("key: a, value: " + strings.Repeat("b", 64) + ", effect: NoSchedule"), field: "spec.taints[0].value", want: "may not be more than 63"},
		{name: "a taint without effect", spec: taint("key: a"), field: "spec.taints[0].effect", want: "Required value"},
		{name: "a taint with an unknown effect", spec: taint("key: a, effect: NoRun"), field: "spec.taints[0].effect", want: `supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"`},
		{name: "a taint twice", spec: pool("taints: [{key: a, value: b, effect: NoSchedule}, {key: a, effect: NoSchedule}]"), field: "spec.taints[1]", want: "Duplicate value"},
		{name: "too many taints", spec: pool("taints: [" + numbered("{key: t%d, effect: NoSchedule}", 17) + "]"), field: "spec.taints", want: "must have at most 16 items"},

		{name: "too many conditions", from: minimal, status: "{conditions: [" + manyConditions(17) + "]}", field: "status.conditions", want: "must have at most 16 items"},
	})
}

// badPoolFiles are wrong in what is done on a machine besides joining.
func badPoolFiles(wantPath string) []badInput {
	const (
		wantOwner       = "must be a user, or user:group, for example root:root"
		wantPermissions = "must be octal permissions, for example 0644"
	)
	file := func(fields string) string { return inPool("bootstrap.files", "[{"+fields+"}]") }
	const files = "spec.bootstrap.files"
	cases := []badInput{
		{name: "a file without path", spec: file("content: a"), field: files + "[0].path", want: "Required value"},
		{name: "a file at a relative path", spec: file("path: etc/a"), field: files + "[0].path", want: wantPath},
		{name: "a file at a folder", spec: file("path: /etc/"), field: files + "[0].path", want: wantPath},
		{name: "a file whose path ends the line", spec: file(`path: "/etc/a\npermissions: '4755'"`), field: files + "[0].path", want: wantPath},
		{name: "a file whose path is a key of YAML", spec: file("path: '/etc/a: b'"), field: files + "[0].path", want: wantPath},
		{name: "a file with a path too long", spec: file("path: /" + strings.Repeat("a", 512)), field: files + "[0].path", want: "may not be more than 512"},
		{name: "a file too long", spec: file("path: /etc/a, content: " + strings.Repeat("a", 10241)), field: files + "[0].content", want: "may not be more than 10240"},
		{name: "a file of a user in words", spec: file("path: /etc/a, owner: 'the root'"), field: files + "[0].owner", want: wantOwner},
		{name: "a file of nobody", spec: file("path: /etc/a, owner: ''"), field: files + "[0].owner", want: wantOwner},
		{name: "a file of a user with a name too long", spec: file("path: /etc/a, owner: " + strings.Repeat("a", 65)), field: files + "[0].owner", want: "may not be more than 64"},
		{name: "a file with permissions in words", spec: file("path: /etc/a, permissions: rw"), field: files + "[0].permissions", want: wantPermissions},
		{name: "a file with permissions that are not octal", spec: file("path: /etc/a, permissions: '0689'"), field: files + "[0].permissions", want: wantPermissions},
		{name: "a file with permissions too long", spec: file("path: /etc/a, permissions: '00644'"), field: files + "[0].permissions", want: "may not be more than 4"},
		{name: "a file twice", spec: inPool("bootstrap.files", "[{path: /etc/a}, {path: /etc/a, content: b}]"), field: files + "[1]", want: "Duplicate value"},
		{name: "too many files", spec: inPool("bootstrap.files", "["+numbered("{path: /etc/%d}", 33)+"]"), field: files, want: "must have at most 32 items"},
		{name: "a check of kubeadm twice", spec: inPool("bootstrap.ignorePreflightErrors", "[Swap, Swap]"), field: "spec.bootstrap.ignorePreflightErrors[1]", want: "Duplicate value"},
	}
	for field, longest := range map[string]int{"preKubeadmCommands": 10240, "postKubeadmCommands": 10240, "ignorePreflightErrors": 512} {
		path := "bootstrap." + field
		cases = append(cases,
			badInput{name: "an empty item of " + field, spec: inPool(path, "['']"), field: "spec." + path + "[0]", want: "should be at least 1 chars long"},
			badInput{name: "an item too long of " + field, spec: inPool(path, "["+strings.Repeat("a", longest+1)+"]"), field: "spec." + path + "[0]", want: fmt.Sprintf("may not be more than %d", longest)},
			badInput{name: "too many items of " + field, spec: inPool(path, "["+numbered("c%d", 33)+"]"), field: "spec." + path, want: "must have at most 32 items"},
		)
	}
	return cases
}

// badPoolChanges are wrong in how and when machines are replaced and let go.
func badPoolChanges() []badInput {
	const (
		wantSurge       = "must be a number or a percentage, for example 1 or 25%"
		wantUnavailable = "must be a number or a percentage of at most 100%, for example 1 or 25%"
		wantStuck       = "cannot be 0 unless maxSurge is more than 0: no machine could be replaced"
		wantOnDelete    = "OnDelete replaces no machine by itself, so maxSurge and maxUnavailable have no meaning with it; leave them out"
		wantUnhealthy   = "must be a number of at least 1, or a percentage of 1% to 100%, for example 2 or 40%; to replace none, set spec.remediation.enabled to false"
	)
	strategy := func(fields string) string { return pool("strategy: {" + fields + "}") }
	cases := []badInput{
		{name: "an unknown strategy", spec: strategy("type: Recreate"), field: "spec.strategy.type", want: `supported values: "RollingUpdate", "OnDelete"`},
		{name: "a surge with OnDelete", spec: strategy("type: OnDelete, maxSurge: 1"), field: "spec.strategy.type", want: wantOnDelete},
		{name: "unavailable machines with OnDelete", spec: strategy("type: OnDelete, maxUnavailable: 1"), field: "spec.strategy.type", want: wantOnDelete},
		{name: "less surge than none", spec: strategy("maxSurge: -1"), field: "spec.strategy.maxSurge", want: wantSurge},
		{name: "a surge in words", spec: strategy("maxSurge: all"), field: "spec.strategy.maxSurge", want: wantSurge},
		{name: "a surge as text", spec: strategy("maxSurge: '1'"), field: "spec.strategy.maxSurge", want: wantSurge},
		{name: "less than no unavailable machine", spec: strategy("maxUnavailable: -1"), field: "spec.strategy.maxUnavailable", want: wantUnavailable},
		{name: "more unavailable machines than all", spec: strategy("maxUnavailable: 101%"), field: "spec.strategy.maxUnavailable", want: wantUnavailable},
		{name: "no way to replace a machine", spec: strategy("maxUnavailable: 0"), field: "spec.strategy.maxUnavailable", want: wantStuck},
		{name: "no way to replace a machine, written out", spec: strategy("maxSurge: 0, maxUnavailable: 0"), field: "spec.strategy.maxUnavailable", want: wantStuck},
		{name: "no way to replace a machine, in per cent", spec: strategy("maxSurge: 00%, maxUnavailable: 0%"), field: "spec.strategy.maxUnavailable", want: wantStuck},
		{name: "machines ill for too short a time", spec: inPool("remediation.unhealthyTimeoutSeconds", "29"), field: "spec.remediation.unhealthyTimeoutSeconds", want: "should be greater than or equal to 30"},
		{name: "machines ill for too long a time", spec: inPool("remediation.unhealthyTimeoutSeconds", "86401"), field: "spec.remediation.unhealthyTimeoutSeconds", want: "should be less than or equal to 86400"},
	}
	for _, value := range []string{"0", "0%", "101%", "'2'", "some"} {
		cases = append(cases, badInput{name: "ill machines: " + value, spec: inPool("remediation.maxUnhealthy", value), field: "spec.remediation.maxUnhealthy", want: wantUnhealthy})
	}
	for _, field := range []string{"nodeDrainTimeoutSeconds", "nodeVolumeDetachTimeoutSeconds", "nodeDeletionTimeoutSeconds"} {
		path := "deletion." + field
		cases = append(cases,
			badInput{name: "no end of " + field, spec: inPool(path, "0"), field: "spec." + path, want: "should be greater than or equal to 1"},
			badInput{name: "too long a " + field, spec: inPool(path, "86401"), field: "spec." + path, want: "should be less than or equal to 86400"},
		)
	}
	return cases
}

// goodPools is what people write into pools and may, beside requests.
func goodPools() []goodInput {
	return []goodInput{
		{name: "the longest name", object: strings.Repeat("a", 40), spec: pool("")},
		{name: "a control plane with the longest name", spec: planePool(strings.Repeat("a", 50))},
		{name: "no machine", spec: sizedPool("replicas: 0")},
		{name: "the most machines", spec: sizedPool("replicas: 10000")},
		{name: "autoscaling from nothing", spec: sizedPool("autoscaling: {minReplicas: 0, maxReplicas: 10000}")},
		{name: "autoscaling to one size", spec: sizedPool("autoscaling: {minReplicas: 3, maxReplicas: 3}")},
		{name: "autoscaling later", from: pool(""), spec: sizedPool("autoscaling: {minReplicas: 0, maxReplicas: 6}")},
		{name: "autoscaling no more", from: sizedPool("autoscaling: {minReplicas: 0, maxReplicas: 6}"), spec: pool("")},
		{name: "an older minor version", spec: versionedPool("v1.33.12")},
		{name: "another version and image later", from: pool(""), spec: "{controlPlaneName: acme, replicas: 3, version: v1.35.4, image: {url: 'oci://registry.example.com/node:v1.35.4'}}"},
		{name: "other hosts later", from: pool("hardware: {memory: 64Gi}, spread: [{topologyKey: rack}]"), spec: pool("hardware: {memory: 128Gi}, spread: [{topologyKey: rack, maxPerDomain: 1}], hostSelector: {matchLabels: {a: b}}")},
		{name: "a place", spec: pool("failureDomain: Rack_1.a")},
		{name: "labels", spec: pool(`labels: {
			rack: A_1.b, example.com/empty: "", node-role.kubernetes.io/worker: "", gpu.node-restriction.kubernetes.io/model: H100, node.cluster.x-k8s.io/a: b,
			node.kubernetes.io/instance-type: c, a.kubelet.kubernetes.io/b: c, topology.kubernetes.io/zone: d, topology.kubernetes.io/region: e, mykubernetes.io/f: g}`)},
		{name: "taints", spec: pool("taints: [{key: example.com/gpu, value: H100, effect: NoSchedule}, {key: example.com/gpu, value: H100, effect: NoExecute}, {key: a, effect: PreferNoSchedule}]")},
		{name: "the longest key of a taint", spec: pool("taints: [{key: " + strings.Repeat("a.", 126) + "a/" + strings.Repeat("B", 63) + ", effect: NoSchedule}]")},
		{name: "files and commands", spec: inPool("bootstrap", `{
			files: [{path: /etc/sysctl.d/90-pool.conf, content: "vm.swappiness = 1\n", owner: root:root, permissions: "0644"}, {path: /usr/local/bin/a+b@c_d, permissions: "755", owner: _apt}],
			preKubeadmCommands: [sysctl --system], postKubeadmCommands: ["echo 'a: {b}' | tee /etc/motd"], ignorePreflightErrors: [SystemVerification, Swap]}`)},
		{name: "a surge", spec: pool("strategy: {maxSurge: 1, maxUnavailable: 0}")},
		{name: "a surge in per cent", spec: pool("strategy: {type: RollingUpdate, maxSurge: 100%, maxUnavailable: 0%}")},
		{name: "both", spec: pool("strategy: {maxSurge: 25%, maxUnavailable: 100%}")},
		{name: "no surge", spec: pool("strategy: {maxSurge: 0}")},
		{name: "on deletion", spec: pool("strategy: {type: OnDelete}")},
		{name: "no remediation", spec: inPool("remediation.enabled", "false")},
		{name: "remediation of most", spec: inPool("remediation", "{unhealthyTimeoutSeconds: 30, maxUnhealthy: 100%}")},
		{name: "the longest time-outs", spec: inPool("deletion", "{nodeDrainTimeoutSeconds: 86400, nodeVolumeDetachTimeoutSeconds: 86400, nodeDeletionTimeoutSeconds: 86400}")},
		{name: "paused", spec: pool("paused: true")},
		{name: "null for a default", spec: pool("strategy: null, deletion: {nodeDrainTimeoutSeconds: null}, remediation: {maxUnhealthy: null}")},
	}
}
