package validation

import (
	"fmt"
	"strings"
)

// components are the fields of spec.components.
var components = []string{"apiServer", "controllerManager", "scheduler", "etcd", "konnectivityServer"}

// badResources are wrong in one component's resources; each component has the same.
func badResources() (cases []badInput) {
	for _, component := range components {
		resources := "components." + component + ".resources"
		for _, kind := range []string{"requests", "limits"} {
			for _, c := range []struct{ name, amount, value, want string }{
				{"an amount in words", "cpu", "one", "must be an amount of cores: a number, or one with the suffix m for thousandths, for example 250m"},
				{"an amount too long to read", "cpu", `"` + strings.Repeat("0", 20) + `1"`, "may not be more than 20"},
				{"nothing", "cpu", "0", "must be greater than zero; leave it out for the default"},
				{"less than nothing", "cpu", "-1", "must be greater than zero"},
				{"an exponent", "cpu", `"1e3"`, "must be an amount of cores"},
				{"an amount in words", "memory", `"512 MB"`, "must be an amount of bytes: a number, mostly with one of the suffixes Ki, Mi and Gi, for example 512Mi"},
				{"an amount too long to read", "memory", `"` + strings.Repeat("0", 20) + `1"`, "may not be more than 20"},
				{"nothing", "memory", "0Mi", "must be greater than zero; leave it out for the default"},
			} {
				field := resources + "." + kind + "." + c.amount
				cases = append(cases, badInput{
					name: fmt.Sprintf("%s for %s", c.name, field),
					spec: inField(field, c.value), field: "spec." + field, want: c.want,
				})
			}
		}
		cases = append(cases,
			badInput{
				name: "more CPU requested than allowed for " + component,
				spec: inField(resources, "{requests: {cpu: 2}, limits: {cpu: 1500m}}"), field: "spec." + resources + ".requests.cpu",
				want: "must not exceed limits.cpu; lower the request or raise the limit",
			},
			badInput{
				name: "more memory requested than allowed for " + component,
				spec: inField(resources, "{requests: {memory: 1Gi}, limits: {memory: 1G}}"), field: "spec." + resources + ".requests.memory",
				want: "must not exceed limits.memory; lower the request or raise the limit",
			},
		)
	}
	return cases
}

// badStatus are mistakes of a controller.
func badStatus() []badInput {
	const version = "{version: v1.36.3, replicas: 1}"
	return append(badConditions(minimal),
		badInput{name: "a version that runs, without version", from: minimal, status: "{versions: [{replicas: 1}]}", field: "status.versions[0].version", want: "Required value"},
		badInput{name: "an empty version that runs", from: minimal, status: `{versions: [{version: "", replicas: 1}]}`, field: "status.versions[0].version", want: "should be at least 1 chars long"},
		badInput{name: "a version that runs, too long", from: minimal, status: "{versions: [{version: " + strings.Repeat("1", 257) + "a, replicas: 1}]}", field: "status.versions[0].version", want: "may not be more than 256"},
		badInput{name: "a version that runs nowhere", from: minimal, status: "{versions: [{version: v1.36.3, replicas: 0}]}", field: "status.versions[0].replicas", want: "should be greater than or equal to 1"},
		badInput{name: "a version that runs, twice", from: minimal, status: "{versions: [" + version + ", " + version + "]}", field: "status.versions[1]", want: "Duplicate value"},
		badInput{name: "three versions that run", from: minimal, status: "{versions: [{version: v1.35.4}, {version: v1.36.2}, {version: v1.36.3}]}", field: "status.versions", want: "must have at most 2 items"},
		badInput{name: "an endpoint without url", from: minimal, status: "{endpoint: {host: a, address: 192.0.2.1, port: 1}}", field: "status.endpoint.url", want: "Required value"},
		badInput{name: "an endpoint without host", from: minimal, status: "{endpoint: {url: 'https://a:1', address: 192.0.2.1, port: 1}}", field: "status.endpoint.host", want: "Required value"},
		badInput{name: "an endpoint without address", from: minimal, status: "{endpoint: {url: 'https://a:1', host: a, port: 1}}", field: "status.endpoint.address", want: "Required value"},
		badInput{name: "an endpoint without port", from: minimal, status: "{endpoint: {url: 'https://a:1', host: a, address: 192.0.2.1}}", field: "status.endpoint.port", want: "Required value"},
		badInput{name: "Secrets without that of users", from: minimal, status: "{secrets: {kubeconfig: a, certificateAuthority: b}}", field: "status.secrets.userKubeconfig", want: "Required value"},
		badInput{name: "Secrets without that of controllers", from: minimal, status: "{secrets: {userKubeconfig: a, certificateAuthority: b}}", field: "status.secrets.kubeconfig", want: "Required value"},
		badInput{name: "Secrets without the authority", from: minimal, status: "{secrets: {userKubeconfig: a, kubeconfig: b}}", field: "status.secrets.certificateAuthority", want: "Required value"},
	)
}

// statusCondition returns a condition (YAML) with another value in a field, or without the
// field.
func statusCondition(field, value string) string {
	values := map[string]string{
		"type": "Ready", "status": `"True"`, "reason": "Ready", "message": `""`,
		"lastTransitionTime": `"2026-01-02T03:04:05Z"`, "observedGeneration": "1",
	}
	if value == "" {
		delete(values, field)
	} else {
		values[field] = value
	}
	var fields []string
	for name, value := range values {
		fields = append(fields, name+": "+value)
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// badConditions are wrong in status.conditions of an object of a spec. The schema is the one
// that all conditions of Kubernetes share.
func badConditions(from string) []badInput {
	cases := []badInput{
		{name: "a condition twice", from: from, status: "{conditions: [" + statusCondition("", "") + ", " + statusCondition("", "") + "]}", field: "status.conditions[1]", want: "Duplicate value"},
	}
	for _, c := range []struct{ name, field, value, want string }{
		{"a condition that is neither", "status", "Maybe", `supported values: "True", "False", "Unknown"`},
		{"a condition without status", "status", "", "Required value"},
		{"a condition without type", "type", "", "Required value"},
		{"a condition of an impossible type", "type", `"is ready"`, "should match"},
		{"a condition of too long a type", "type", strings.Repeat("a", 317), "may not be more than 316"},
		{"a condition without reason", "reason", "", "Required value"},
		{"a condition with an empty reason", "reason", `""`, "should be at least 1 chars long"},
		{"a condition with a sentence for a reason", "reason", `"it is so"`, "should match"},
		{"a condition with too long a reason", "reason", strings.Repeat("a", 1025), "may not be more than 1024"},
		{"a condition without message", "message", "", "Required value"},
		{"a condition with too long a message", "message", strings.Repeat("a", 32769), "may not be more than 32768"},
		{"a condition without time", "lastTransitionTime", "", "Required value"},
		{"a condition of a generation that never was", "observedGeneration", "-1", "should be greater than or equal to 0"},
	} {
		cases = append(cases, badInput{
			name: c.name, from: from, status: "{conditions: [" + statusCondition(c.field, c.value) + "]}",
			field: "status.conditions[0]." + c.field, want: c.want,
		})
	}
	return cases
}

// badExtraArgs are wrong in one component's extraArgs; each component has the same, but for
// the flags that are Teapot's own.
func badExtraArgs() (cases []badInput) {
	const owned = "must not name a flag that Teapot sets or relies on; leave it out (docs/operations.md, Extra arguments, lists them)"
	ownedFlags := map[string][]string{
		"apiServer":          {"etcd-servers", "egress-selector-config-file", "allow-privileged", "authentication-config"},
		"controllerManager":  {"cluster-signing-key-file", "bind-address"},
		"scheduler":          {"leader-elect", "secure-port"},
		"etcd":               {"unsafe-no-fsync", "listen-client-urls"},
		"konnectivityServer": {"mode", "uds-name"},
	}
	for _, component := range components {
		field := "components." + component + ".extraArgs"
		bad := func(name, args, at, want string) {
			cases = append(cases, badInput{name: name + " for " + component, spec: inField(field, "["+args+"]"), field: "spec." + field + at, want: want})
		}
		for _, flag := range ownedFlags[component] {
			bad("the flag "+flag, "{name: "+flag+", value: a}", "", owned)
		}
		const wantName = "must be the name of a flag without dashes before it, for example max-requests-inflight"
		bad("a flag with dashes", "{name: --v, value: '1'}", "[0].name", wantName)
		bad("a flag with its value", "{name: v=1, value: '1'}", "[0].name", wantName)
		bad("a flag in capitals", "{name: V, value: '1'}", "[0].name", wantName)
		bad("an empty flag", "{name: '', value: '1'}", "[0].name", wantName)
		bad("a flag too long", "{name: "+strings.Repeat("a", 65)+", value: '1'}", "[0].name", "may not be more than 64")
		bad("a flag without name", "{value: '1'}", "[0].name", "Required value")
		bad("a flag without value", "{name: v}", "[0].value", "Required value")
		bad("a number for a flag's value", "{name: v, value: 1}", "[0].value", "must be of type string")
		bad("a flag's value on two lines", `{name: v, value: "1\n--mode=http"}`, "[0].value", "must be of printable ASCII characters on one line")
		bad("a flag's value beyond ASCII", `{name: v, value: "\u00e9"}`, "[0].value", "must be of printable ASCII characters")
		bad("a flag's value too long", "{name: v, value: "+strings.Repeat("a", 1025)+"}", "[0].value", "may not be more than 1024")
		bad("a flag twice", "{name: v, value: '1'}, {name: v, value: '2'}", "[1]", "Duplicate value")
		var many []string
		for i := range 33 {
			many = append(many, fmt.Sprintf("{name: v%d, value: '1'}", i))
		}
		bad("too many flags", strings.Join(many, ", "), "", "must have at most 32 items")
	}
	const (
		wantIssuer = "flags that begin with oidc- need both oidc-issuer-url, an https:// URL without user, query and fragment, and oidc-client-id; add what is missing"
		wantClaim  = "oidc-required-claim must be claim=value, or several of these separated by commas without spaces"
		issuer     = "{name: oidc-issuer-url, value: 'https://id.example.org'}, {name: oidc-client-id, value: a}, "
	)
	for _, c := range []struct{ name, args, want string }{
		{"an issuer of tokens without client", "{name: oidc-issuer-url, value: 'https://id.example.org'}", wantIssuer},
		{"an issuer of tokens with an empty client", "{name: oidc-issuer-url, value: 'https://id.example.org'}, {name: oidc-client-id, value: ''}", wantIssuer},
		{"a client without issuer of tokens", "{name: oidc-client-id, value: a}", wantIssuer},
		{"an issuer of tokens without TLS", "{name: oidc-issuer-url, value: 'http://id.example.org'}, {name: oidc-client-id, value: a}", wantIssuer},
		{"an issuer of tokens without host", "{name: oidc-issuer-url, value: 'https://'}, {name: oidc-client-id, value: a}", wantIssuer},
		{"an issuer of tokens with a password", "{name: oidc-issuer-url, value: 'https://a:b@id.example.org'}, {name: oidc-client-id, value: a}", wantIssuer},
		{"an issuer of tokens with a query", "{name: oidc-issuer-url, value: 'https://id.example.org/?a=b'}, {name: oidc-client-id, value: a}", wantIssuer},
		{"a claim without issuer of tokens", "{name: oidc-groups-claim, value: groups}", wantIssuer},
		{"a required claim without value", issuer + "{name: oidc-required-claim, value: staff}", wantClaim},
		{"two required claims of which one has no value", issuer + "{name: oidc-required-claim, value: 'a=b,staff'}", wantClaim},
		{"two required claims with a space", issuer + "{name: oidc-required-claim, value: 'a=b, c=d'}", wantClaim},
		{"a flag about tokens that does not exist", issuer + "{name: oidc-group-claim, value: groups}", "of flags that begin with oidc- only oidc-client-id, oidc-groups-claim, oidc-groups-prefix, oidc-issuer-url, oidc-required-claim, oidc-username-claim and oidc-username-prefix can be set; leave the others out"},
	} {
		cases = append(cases, badInput{
			name: c.name, spec: inField("components.apiServer.extraArgs", "["+c.args+"]"), field: "spec.components.apiServer.extraArgs",
			want: c.want,
		})
	}
	return cases
}

// badScheduling is refused by the rules that Kubernetes has for pods.
func badScheduling() (cases []badInput) {
	bad := func(name, part, value, at, want string) {
		field := "scheduling." + part
		cases = append(cases, badInput{name: name, spec: inField(field, value), field: "spec." + field + at, want: want})
	}
	var many []string
	for i := range 17 {
		many = append(many, fmt.Sprintf("k%d", i))
	}
	const wantKeys = "keys must be those of labels, for example node-role.example.com/tenants"
	bad("a node label with two slashes", "nodeSelector", "{a/b/c: d}", "", wantKeys)
	bad("a node label without name", "nodeSelector", "{example.org/: d}", "", wantKeys)
	bad("a node label with a prefix in capitals", "nodeSelector", "{Example.org/a: d}", "", wantKeys)
	bad("a node label that ends with a dash", "nodeSelector", "{a-: d}", "", wantKeys)
	bad("a node label with a name too long", "nodeSelector", "{"+strings.Repeat("a", 64)+": d}", "", wantKeys)
	bad("a node label with a prefix too long", "nodeSelector", "{"+strings.Repeat("a.", 127)+"a/b: d}", "", wantKeys)
	bad("a node label with a space in its value", "nodeSelector", "{a: 'b c'}", "[a]", "must be the value of a label: letters, digits, '-', '_' and '.', not at its ends")
	bad("a node label with a value that ends with a dash", "nodeSelector", "{a: b-}", "[a]", "must be the value of a label")
	bad("a node label with a value too long", "nodeSelector", "{a: "+strings.Repeat("b", 64)+"}", ".a", "may not be more than 63")
	bad("a node label with a number for a value", "nodeSelector", "{a: 1}", ".a", "must be of type string")
	bad("too many node labels", "nodeSelector", "{"+strings.Join(many[:9], ": a, ")+": a}", "", "must have at most 8 items")

	const wantTaint = "must be the key of a taint, for example node-role.example.com/tenants"
	bad("a toleration with two slashes", "tolerations", "[{key: a/b/c, operator: Exists}]", "[0].key", wantTaint)
	bad("a toleration with a key too long", "tolerations", "[{key: "+strings.Repeat("a", 318)+", operator: Exists}]", "[0].key", "may not be more than 317")
	bad("a toleration with a prefix too long", "tolerations", "[{key: "+strings.Repeat("a.", 127)+"a/b, operator: Exists}]", "[0].key", wantTaint)
	bad("a toleration with an empty key", "tolerations", "[{key: '', operator: Exists}]", "[0].key", wantTaint)
	bad("a toleration of everything by Equal", "tolerations", "[{effect: NoSchedule}]", "[0].operator", "must be Exists in a toleration without key, which tolerates everything")
	bad("a toleration by an unknown operator", "tolerations", "[{key: a, operator: In}]", "[0].operator", `supported values: "Exists", "Equal"`)
	bad("a toleration of any value with a value", "tolerations", "[{key: a, operator: Exists, value: b}]", "[0].value", "must be left out with operator Exists; or use operator Equal")
	bad("a toleration with a space in its value", "tolerations", "[{key: a, value: 'b c'}]", "[0].value", "must be the value of a label")
	bad("a toleration with a value too long", "tolerations", "[{key: a, value: "+strings.Repeat("b", 64)+"}]", "[0].value", "may not be more than 63")
	bad("a toleration of an unknown effect", "tolerations", "[{key: a, operator: Exists, effect: NoRun}]", "[0].effect", `supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"`)
	bad("a toleration for a while of what does not evict", "tolerations", "[{key: a, operator: Exists, effect: NoSchedule, tolerationSeconds: 60}]", "[0].tolerationSeconds", "needs effect NoExecute; set it, or leave tolerationSeconds out")
	bad("a toleration for a while of all effects", "tolerations", "[{key: a, operator: Exists, tolerationSeconds: 60}]", "[0].tolerationSeconds", "needs effect NoExecute")
	bad("too many tolerations", "tolerations", "[{key: "+strings.Join(many, "}, {key: ")+"}]", "", "must have at most 16 items")

	const wantTopology = "each must be the key of a label of nodes, for example topology.kubernetes.io/zone"
	bad("a topology with two slashes", "topologyKeys", "[a/b/c]", "", wantTopology)
	bad("an empty topology", "topologyKeys", "['']", "", wantTopology)
	bad("a topology too long", "topologyKeys", "["+strings.Repeat("a", 318)+"]", "[0]", "may not be more than 317")
	bad("a topology with a prefix too long", "topologyKeys", "["+strings.Repeat("a.", 127)+"a/b]", "", wantTopology)
	bad("a topology twice", "topologyKeys", "[a, a]", "[1]", "Duplicate value")
	bad("too many topologies", "topologyKeys", "["+strings.Join(many[:5], ", ")+"]", "", "must have at most 4 items")

	const wantPriority = "must be the name of a PriorityClass (lower-case letters, digits, '-' and '.'); leave it out for the default"
	bad("a priority class in capitals", "priorityClassName", "High", "", wantPriority)
	bad("an empty priority class", "priorityClassName", "''", "", wantPriority)
	bad("a priority class too long", "priorityClassName", strings.Repeat("a", 254), "", "may not be more than 253")
	return cases
}
