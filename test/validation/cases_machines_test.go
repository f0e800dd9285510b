package validation

import (
	"fmt"
	"slices"
	"strings"
)

// Machines' kinds share what is asked of a host (HostRequest): MachineClaim, HostMachine and
// WorkerPool have it in spec, HostMachineTemplate in spec.template.spec. So one table serves all
// four.

const (
	// image is a request's minimum.
	image          = `image: {url: "oci://registry.example.com/node:v1.36.3"}`
	minimalRequest = "{" + image + "}"
	sum            = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// request returns a spec with the minimum and fields of a HostRequest.
func request(fields string) string { return "{" + image + ", " + fields + "}" }

// inRequest returns a spec with the minimum and a value nested as the path says.
func inRequest(path, value string) string {
	keys := strings.Split(path, ".")
	return request(strings.Join(keys, ": {") + ": " + value + strings.Repeat("}", len(keys)-1))
}

// inTemplate returns the spec of a template with a spec of what it is the template of.
func inTemplate(spec string) string { return "{template: {spec: " + spec + "}}" }

// imageOf returns a spec with another image.
func imageOf(fields string) string { return "{image: {" + fields + "}}" }

// badRequests is every bad input of a HostRequest, field as in a MachineClaim.
func badRequests() []badInput {
	const (
		wantURL      = "must be an http, https or oci URL with a host and without user and password, for example https://images.example.com/node-v1.36.3.qcow2"
		wantChecksum = "must be the image's SHA-256 or SHA-512 sum: 64 or 128 hexadecimal digits in lower case"
		wantTimeout  = "must be a duration between 5m and 24h, for example 45m"
		wantValues   = "must be given with the operators In and NotIn, and left out with Exists and DoesNotExist"
		wantLabelKey = "for example example.com/rack"
	)
	cases := []badInput{
		// image
		{name: "no image", spec: "{}", field: "spec.image", want: "Required value"},
		{name: "an image without URL", spec: imageOf("format: raw"), field: "spec.image.url", want: "Required value"},
		{name: "a file for an image", spec: imageOf("url: 'file:///etc/shadow', checksum: " + sum), field: "spec.image.url", want: wantURL},
		{name: "an image without host", spec: imageOf("url: 'http:///node', checksum: " + sum), field: "spec.image.url", want: wantURL},
		{name: "a path for an image", spec: imageOf("url: /node.raw, checksum: " + sum), field: "spec.image.url", want: wantURL},
		{name: "an image with a password", spec: imageOf("url: 'https://a:b@images.example.com/node', checksum: " + sum), field: "spec.image.url", want: wantURL},
		{name: "an image with a space", spec: imageOf("url: 'https://images.example.com/a node', checksum: " + sum), field: "spec.image.url", want: wantURL},
		{name: "an image of a scheme in capitals", spec: imageOf("url: 'OCI://registry.example.com/node', checksum: " + sum), field: "spec.image.url", want: wantURL},
		{name: "an image of a word for a port", spec: imageOf("url: 'oci://registry.example.com:https/node'"), field: "spec.image.url", want: wantURL},
		{name: "an image with a URL too long", spec: imageOf("url: 'oci://registry.example.com/" + strings.Repeat("a", 2048) + "'"), field: "spec.image.url", want: "may not be more than 2048"},
		{name: "an image by https without checksum", spec: imageOf("url: 'https://images.example.com/node'"), field: "spec.image.checksum", want: "is needed with an http or https image, so that what runs is what was asked for; give the image's SHA-256 sum"},
		{name: "an image by http without checksum", spec: imageOf("url: 'http://images.example.com/node'"), field: "spec.image.checksum", want: "is needed with an http or https image"},
		{name: "a URL for a checksum", spec: imageOf("url: 'https://images.example.com/node', checksum: 'https://images.example.com/node.sha256sum'"), field: "spec.image.checksum", want: wantChecksum},
		{name: "an MD5 sum", spec: imageOf("url: 'https://images.example.com/node', checksum: " + sum[:31] + "a"), field: "spec.image.checksum", want: wantChecksum},
		{name: "a checksum in capitals", spec: imageOf("url: 'https://images.example.com/node', checksum: " + strings.ToUpper(sum)), field: "spec.image.checksum", want: wantChecksum},
		{name: "a checksum too long", spec: imageOf("url: 'https://images.example.com/node', checksum: " + strings.Repeat("a", 129)), field: "spec.image.checksum", want: "may not be more than 128"},
		{name: "an image of an unknown format", spec: imageOf("url: 'oci://registry.example.com/node', format: live-iso"), field: "spec.image.format", want: `supported values: "raw", "qcow2", "vdi", "vmdk"`},

		// hostSelector
		{name: "a label without name", spec: inRequest("hostSelector.matchLabels", "{example.com/: a}"), field: "spec.hostSelector.matchLabels", want: "keys must be those of labels, " + wantLabelKey},
		{name: "a label with a prefix too long", spec: inRequest("hostSelector.matchLabels", "{"+strings.Repeat("a.", 127)+"a/b: c}"), field: "spec.hostSelector.matchLabels", want: wantLabelKey},
		{name: "a label with a space in its value", spec: inRequest("hostSelector.matchLabels", "{rack: 'a 1'}"), field: "spec.hostSelector.matchLabels[rack]", want: "must be the value of a label"},
		{name: "a label with a value too long", spec: inRequest("hostSelector.matchLabels", "{rack: "+strings.Repeat("a", 64)+"}"), field: "spec.hostSelector.matchLabels.rack", want: "may not be more than 63"},
		{name: "too many labels", spec: inRequest("hostSelector.matchLabels", "{"+numbered("l%d: a", 17)+"}"), field: "spec.hostSelector.matchLabels", want: "must have at most 16 items"},
		{name: "a rule without label", spec: inRequest("hostSelector.matchExpressions", "[{operator: Exists}]"), field: "spec.hostSelector.matchExpressions[0].key", want: "Required value"},
		{name: "a rule about an impossible label", spec: inRequest("hostSelector.matchExpressions", "[{key: a/b/c, operator: Exists}]"), field: "spec.hostSelector.matchExpressions[0].key", want: "must be the key of a label, " + wantLabelKey},
		{name: "a rule about a label too long", spec: inRequest("hostSelector.matchExpressions", "[{key: "+strings.Repeat("a", 318)+", operator: Exists}]"), field: "spec.hostSelector.matchExpressions[0].key", want: "may not be more than 317"},
		{name: "a rule without operator", spec: inRequest("hostSelector.matchExpressions", "[{key: rack}]"), field: "spec.hostSelector.matchExpressions[0].operator", want: "Required value"},
		{name: "a rule with an unknown operator", spec: inRequest("hostSelector.matchExpressions", "[{key: rack, operator: Gt}]"), field: "spec.hostSelector.matchExpressions[0].operator", want: `supported values: "In", "NotIn", "Exists", "DoesNotExist"`},
		{name: "a rule that compares with nothing", spec: inRequest("hostSelector.matchExpressions", "[{key: rack, operator: NotIn}]"), field: "spec.hostSelector.matchExpressions[0].values", want: wantValues},
		{name: "a rule that compares with an empty list", spec: inRequest("hostSelector.matchExpressions", "[{key: rack, operator: In, values: []}]"), field: "spec.hostSelector.matchExpressions[0].values", want: wantValues},
		{name: "a rule with values that mean nothing", spec: inRequest("hostSelector.matchExpressions", "[{key: rack, operator: Exists, values: [a]}]"), field: "spec.hostSelector.matchExpressions[0].values", want: wantValues},
		{name: "a rule with an impossible value", spec: inRequest("hostSelector.matchExpressions", "[{key: rack, operator: In, values: [a, -b]}]"), field: "spec.hostSelector.matchExpressions[0].values", want: "each must be the value of a label"},
		{name: "a rule with a value too long", spec: inRequest("hostSelector.matchExpressions", "[{key: rack, operator: In, values: ["+strings.Repeat("a", 64)+"]}]"), field: "spec.hostSelector.matchExpressions[0].values[0]", want: "may not be more than 63"},
		{name: "a rule with too many values", spec: inRequest("hostSelector.matchExpressions", "[{key: rack, operator: In, values: ["+numbered("v%d", 33)+"]}]"), field: "spec.hostSelector.matchExpressions[0].values", want: "must have at most 32 items"},
		{name: "too many rules", spec: inRequest("hostSelector.matchExpressions", "["+numbered("{key: l%d, operator: Exists}", 17)+"]"), field: "spec.hostSelector.matchExpressions", want: "must have at most 16 items"},

		// hardware
		{name: "an unknown architecture", spec: inRequest("hardware.cpu.architecture", "amd64"), field: "spec.hardware.cpu.architecture", want: `supported values: "x86_64", "aarch64"`},
		{name: "an unknown type of disk", spec: inRequest("hardware.disks.type", "ssd"), field: "spec.hardware.disks.type", want: `supported values: "HDD", "SSD", "NVME"`},
		{name: "a model with a space", spec: inRequest("hardware.gpus.model", "'NVIDIA H100'"), field: "spec.hardware.gpus.model", want: "must be the value of a label (letters, digits, '-', '_' and '.', not at its ends), since it is compared with the host's label gpu.teapot.dev/model; leave it out for any"},
		{name: "an empty model", spec: inRequest("hardware.gpus.model", "''"), field: "spec.hardware.gpus.model", want: "leave it out for any"},
		{name: "a model too long", spec: inRequest("hardware.gpus.model", strings.Repeat("a", 64)), field: "spec.hardware.gpus.model", want: "may not be more than 63"},

		// spread
		{name: "spread over nothing", spec: request("spread: [{maxPerDomain: 1}]"), field: "spec.spread[0].topologyKey", want: "Required value"},
		{name: "spread over an impossible label", spec: request("spread: [{topologyKey: a/b/c}]"), field: "spec.spread[0].topologyKey", want: "must be the key of a label, " + wantLabelKey},
		{name: "spread over a label too long", spec: request("spread: [{topologyKey: " + strings.Repeat("a", 318) + "}]"), field: "spec.spread[0].topologyKey", want: "may not be more than 317"},
		{name: "spread over one label twice", spec: request("spread: [{topologyKey: rack}, {topologyKey: rack, maxPerDomain: 1}]"), field: "spec.spread[1]", want: "Duplicate value"},
		{name: "spread over too many labels", spec: request("spread: [" + numbered("{topologyKey: l%d}", 5) + "]"), field: "spec.spread", want: "must have at most 4 items"},
		{name: "no machine in a domain", spec: request("spread: [{topologyKey: rack, maxPerDomain: 0}]"), field: "spec.spread[0].maxPerDomain", want: "should be greater than or equal to 1"},
		{name: "too many machines in a domain", spec: request("spread: [{topologyKey: rack, maxPerDomain: 10001}]"), field: "spec.spread[0].maxPerDomain", want: "should be less than or equal to 10000"},

		// the rest
		{name: "an unknown cleaning mode", spec: request("automatedCleaningMode: full"), field: "spec.automatedCleaningMode", want: `supported values: "metadata", "disabled"`},
		{name: "a time in words", spec: request("provisioningTimeout: an hour"), field: "spec.provisioningTimeout", want: wantTimeout},
		{name: "a time without unit", spec: request(`provisioningTimeout: "60"`), field: "spec.provisioningTimeout", want: wantTimeout},
		{name: "a time too short", spec: request("provisioningTimeout: 4m59s"), field: "spec.provisioningTimeout", want: wantTimeout},
		{name: "a time too long", spec: request("provisioningTimeout: 24h1s"), field: "spec.provisioningTimeout", want: wantTimeout},
		{name: "a time that no clock can count", spec: request("provisioningTimeout: 9999999999999h"), field: "spec.provisioningTimeout", want: wantTimeout},
		{name: "a time too long to read", spec: request("provisioningTimeout: 1h" + strings.Repeat("0s", 10)), field: "spec.provisioningTimeout", want: "may not be more than 20"},
	}
	for _, c := range []struct {
		field string
		max   int
	}{
		{"cpu.minCount", 8192}, {"disks.minCount", 256}, {"nics.minCount", 256}, {"nics.minSpeedGbps", 10000}, {"gpus.minCount", 256},
	} {
		field := "hardware." + c.field
		cases = append(cases,
			badInput{name: "none for " + field, spec: inRequest(field, "0"), field: "spec." + field, want: "should be greater than or equal to 1"},
			badInput{name: "too much for " + field, spec: inRequest(field, fmt.Sprint(c.max+1)), field: "spec." + field, want: fmt.Sprintf("should be less than or equal to %d", c.max)},
		)
	}
	for field, example := range map[string]string{"hardware.memory": "64Gi", "hardware.disks.minSize": "480G"} {
		wantAmount := "must be an amount of bytes: a number with one of the suffixes M, G, T, Mi, Gi and Ti, for example " + example
		wantBounds := "must be at least 1Mi and at most 1Pi, for example " + example + "; leave it out for any"
		cases = append(cases,
			badInput{name: "words for " + field, spec: inRequest(field, `"64 GB"`), field: "spec." + field, want: wantAmount},
			badInput{name: "an exponent for " + field, spec: inRequest(field, `"1e12"`), field: "spec." + field, want: wantAmount},
			badInput{name: "no unit for " + field, spec: inRequest(field, "64"), field: "spec." + field, want: wantBounds},
			badInput{name: "less than nothing for " + field, spec: inRequest(field, "-64Gi"), field: "spec." + field, want: wantBounds},
			badInput{name: "too much for " + field, spec: inRequest(field, "2Pi"), field: "spec." + field, want: wantBounds},
			badInput{name: "an amount too long to read for " + field, spec: inRequest(field, `"`+strings.Repeat("0", 18)+`8Gi"`), field: "spec." + field, want: "may not be more than 20"},
		)
	}
	return cases
}

// goodRequests is what people ask of hosts and may.
func goodRequests() []goodInput {
	return []goodInput{
		{name: "the minimum", spec: minimalRequest},
		{name: "an image by its digest", spec: imageOf("url: 'oci://registry.example.com:5000/node@sha256:" + sum + "'")},
		{name: "an image of an IPv6 address", spec: imageOf("url: 'http://[2001:db8::1]:8080/node', checksum: " + sum)},
		{name: "an image that is signed for a while", spec: imageOf("url: 'https://images.example.com/node.qcow2?X-Signature=a%2Fb~@', checksum: " + sum + sum + ", format: qcow2")},
		{name: "hosts by their labels", spec: inRequest("hostSelector", `{
			matchLabels: {rack: A_1.b, example.com/empty: ""},
			matchExpressions: [{key: a, operator: In, values: [b, ""]}, {key: example.com/c, operator: NotIn, values: [d]}, {key: e, operator: Exists}, {key: f, operator: DoesNotExist, values: []}]}`)},
		{name: "the longest label", spec: inRequest("hostSelector.matchLabels", "{"+strings.Repeat("a.", 126)+"a/"+strings.Repeat("B", 63)+": "+strings.Repeat("C", 63)+"}")},
		{name: "all of the hardware", spec: inRequest("hardware", `{
			cpu: {minCount: 64, architecture: aarch64}, memory: 1Pi, disks: {minCount: 2, minSize: 480G, type: NVME},
			nics: {minCount: 2, minSpeedGbps: 25}, gpus: {minCount: 8, model: H100_80GB.SXM}}`)},
		{name: "amounts as numbers", spec: inRequest("hardware", "{memory: 1048576, disks: {minSize: 480000000000}}")},
		{name: "parts of hardware that ask for nothing", spec: inRequest("hardware", "{cpu: {}, disks: {}, nics: {}, gpus: {}}")},
		{name: "spread over several labels", spec: request("spread: [{topologyKey: example.com/room}, {topologyKey: rack, maxPerDomain: 1}, {topologyKey: " + strings.Repeat("a.", 126) + "a/" + strings.Repeat("B", 63) + ", maxPerDomain: 10000}]")},
		{name: "spread over nothing in particular", spec: request("spread: []")},
		{name: "no cleaning", spec: request("automatedCleaningMode: disabled")},
		{name: "the shortest time", spec: request("provisioningTimeout: 300s")},
		{name: "the longest time", spec: request("provisioningTimeout: 23h59m60s")},
		{name: "defaults written out later", from: minimalRequest, spec: request("automatedCleaningMode: metadata, provisioningTimeout: 1h")},
	}
}

// badMachineNames are names that could not become host names. Rules cannot point at metadata.
func badMachineNames() []badInput {
	const want = "metadata.name: must be a DNS label of at most 63 characters (a-z, 0-9 and '-', no dots), since it becomes the machine's host name and the value of labels"
	return []badInput{
		{name: "a name too long for a host name", object: strings.Repeat("a", 64), spec: minimalRequest, want: want},
		{name: "a name with a dot", object: "node.example", spec: minimalRequest, want: want},
	}
}

// badChanges are changes of what decides on the host, which come too late.
func badChanges(want string) (cases []badInput) {
	for _, c := range []struct{ field, one, other string }{
		{"hostSelector", "hostSelector: {matchLabels: {rack: a}}", "hostSelector: {matchLabels: {rack: b}}"},
		{"hardware", "hardware: {memory: 64Gi}", "hardware: {memory: 65Gi}"},
		{"spread", "spread: [{topologyKey: rack, maxPerDomain: 1}]", "spread: [{topologyKey: rack, maxPerDomain: 2}]"},
		{"automatedCleaningMode", "automatedCleaningMode: disabled", "automatedCleaningMode: metadata"},
	} {
		cases = append(cases, laterChanges(c.field, c.one, c.other, want)...)
	}
	return append(cases,
		badInput{name: "another image later", from: minimalRequest, spec: imageOf("url: 'oci://registry.example.com/node:v1.36.4'"), field: "spec.image", want: want},
		badInput{name: "another format later", from: minimalRequest, spec: `{image: {url: "oci://registry.example.com/node:v1.36.3", format: raw}}`, field: "spec.image", want: want},
	)
}

// laterChanges are the three ways to change an optional field.
func laterChanges(field, one, other, want string) []badInput {
	return []badInput{
		{name: "another " + field + " later", from: request(one), spec: request(other), field: "spec." + field, want: want},
		{name: field + " added later", from: minimalRequest, spec: request(one), field: "spec." + field, want: want},
		{name: field + " left out later", from: request(one), spec: minimalRequest, field: "spec." + field, want: want},
	}
}

// badClaims is every bad input that only a MachineClaim can have.
func badClaims() []badInput {
	cases := slices.Concat(badMachineNames(), badConditions(minimalRequest), badHostStatus(), []badInput{
		{name: "no spec", field: "spec", want: "Required value"},
		{name: "an empty failure domain", spec: request("failureDomain: ''"), field: "spec.failureDomain", want: "must be the value of a label (letters, digits, '-', '_' and '.', not at its ends), since it is compared with the host's label infrastructure.cluster.x-k8s.io/failure-domain; leave it out for any"},
		{name: "a failure domain too long", spec: request("failureDomain: " + strings.Repeat("a", 64)), field: "spec.failureDomain", want: "may not be more than 63"},
		{name: "a word for power", spec: request(`poweredOn: "on"`), field: "spec.poweredOn", want: "must be of type boolean"},
		{name: "an amount of memory that is none", from: minimalRequest, status: "{hardware: {memory: lots}}", field: "status.hardware.memory", want: "should match"},
	}, badChanges("make a new claim"), laterChanges("failureDomain", "failureDomain: a", "failureDomain: b", "cannot be changed; make a new claim"))
	for _, field := range []string{"userData", "metaData", "networkData"} {
		const want = "must be the name of a Secret of this namespace (lower-case letters, digits, '-' and '.')"
		cases = append(cases, laterChanges(field, field+": {name: a}", field+": {name: b}", "cannot be changed, since a machine reads it once; make a new claim")...)
		cases = append(cases,
			badInput{name: field + " without name", spec: inRequest(field, "{}"), field: "spec." + field + ".name", want: "Required value"},
			badInput{name: field + " with an empty name", spec: inRequest(field, "{name: ''}"), field: "spec." + field + ".name", want: want},
			badInput{name: field + " of another namespace", spec: inRequest(field, "{name: kube-system/a}"), field: "spec." + field + ".name", want: want},
			badInput{name: field + " with a name too long", spec: inRequest(field, "{name: "+strings.Repeat("a", 254)+"}"), field: "spec." + field + ".name", want: "may not be more than 253"},
		)
	}
	return cases
}

// goodClaims is what people write into claims and may, beside requests.
func goodClaims() []goodInput {
	return []goodInput{
		{name: "the longest name", object: strings.Repeat("a", 63), spec: minimalRequest},
		{name: "Secrets", spec: request("userData: {name: a.b-c}, metaData: {name: d}, networkData: {name: " + strings.Repeat("e", 253) + "}")},
		{name: "a place", spec: request("failureDomain: Rack_1.a")},
		{name: "power off", spec: request("poweredOn: false")},
		{name: "another time later", from: minimalRequest, spec: request("provisioningTimeout: 2h")},
		{name: "power off later", from: minimalRequest, spec: request("poweredOn: false")},
	}
}

// badHostStatus are mistakes of a controller in what a claim and a machine say of their host.
func badHostStatus() []badInput {
	cases := []badInput{
		{name: "a host without namespace", from: minimalRequest, status: "{host: {name: a}}", field: "status.host.namespace", want: "Required value"},
		{name: "a host without name", from: minimalRequest, status: "{host: {namespace: a}}", field: "status.host.name", want: "Required value"},
		{name: "too many conditions", from: minimalRequest, status: "{conditions: [" + manyConditions(17) + "]}", field: "status.conditions", want: "must have at most 16 items"},
	}
	for _, c := range []struct{ name, address, field, want string }{
		{"an address without type", "address: a", "type", "Required value"},
		{"an address of an unknown type", "type: IP, address: a", "type", `supported values: "Hostname", "ExternalIP", "InternalIP", "ExternalDNS", "InternalDNS"`},
		{"an address without address", "type: InternalIP", "address", "Required value"},
		{"an empty address", "type: InternalIP, address: ''", "address", "should be at least 1 chars long"},
		{"an address too long", "type: InternalDNS, address: " + strings.Repeat("a", 257), "address", "may not be more than 256"},
	} {
		cases = append(cases, badInput{name: c.name, from: minimalRequest, status: "{addresses: [{" + c.address + "}]}", field: "status.addresses[0]." + c.field, want: c.want})
	}
	return cases
}

// manyConditions are n conditions of different types.
func manyConditions(n int) string {
	var all []string
	for i := range n {
		all = append(all, statusCondition("type", fmt.Sprintf("Type%d", i)))
	}
	return strings.Join(all, ", ")
}

// badHostMachines is every bad input that only a HostMachine can have.
func badHostMachines() []badInput {
	const wantTemplate = "cannot be changed on a machine; change the HostMachineTemplate, and new machines follow it"
	const wantID = "must be teapot:// and an id of lower-case letters, digits and '-'; leave it out, and Teapot writes it"
	identified := func(id string) string { return request("providerID: 'teapot://" + id + "'") }
	return slices.Concat(badMachineNames(), badConditions(minimalRequest), badHostStatus(),
		badChanges(wantTemplate), laterChanges("provisioningTimeout", "provisioningTimeout: 2h", "provisioningTimeout: 3h", wantTemplate),
		[]badInput{
			{name: "no spec", field: "spec", want: "Required value"},
			{name: "another provider's id", spec: request("providerID: 'metal3://a'"), field: "spec.providerID", want: wantID},
			{name: "an empty id", spec: identified(""), field: "spec.providerID", want: wantID},
			{name: "an id with a slash", spec: identified("a/b"), field: "spec.providerID", want: wantID},
			{name: "an id too long", spec: identified(strings.Repeat("a", 120)), field: "spec.providerID", want: "may not be more than 128"},
			{name: "another id", from: identified("a"), spec: identified("b"), field: "spec.providerID", want: "cannot be changed, since the Node carries it; leave it as it is"},
			{name: "an id left out later", from: identified("a"), spec: minimalRequest, field: "spec.providerID", want: "cannot be changed, since the Node carries it; leave it as it is"},
			{name: "nothing known of what Cluster API waits for", from: minimalRequest, status: "{initialization: {}}", field: "status.initialization", want: "should have at least 1 properties"},
		})
}

// goodHostMachines is what people and controllers write into machines and may, beside requests.
func goodHostMachines() []goodInput {
	return []goodInput{
		{name: "the longest name", object: strings.Repeat("a", 63), spec: minimalRequest},
		{name: "an id written later", from: minimalRequest, spec: request("providerID: 'teapot://0b6c5c1e-4f62-c5be'")},
	}
}

// badHostMachineTemplates is every bad input that only a HostMachineTemplate can have.
func badHostMachineTemplates() []badInput {
	from := inTemplate(minimalRequest)
	return append(badTemplateForms(minimalRequest),
		badInput{name: "a template without spec", spec: "{template: {}}", field: "spec.template.spec", want: "Required value"},
		badInput{name: "a capacity that is none", from: from, status: "{capacity: {memory: lots}}", field: "status.capacity.memory", want: "should match"},
		badInput{name: "nothing known of the nodes", from: from, status: "{nodeInfo: {}}", field: "status.nodeInfo", want: "should have at least 1 properties"},
		badInput{name: "an architecture in the kernel's words", from: from, status: "{nodeInfo: {architecture: x86_64}}", field: "status.nodeInfo.architecture", want: `supported values: "amd64", "arm64"`},
		badInput{name: "an empty operating system", from: from, status: "{nodeInfo: {operatingSystem: ''}}", field: "status.nodeInfo.operatingSystem", want: "should be at least 1 chars long"},
		badInput{name: "an operating system too long", from: from, status: "{nodeInfo: {operatingSystem: " + strings.Repeat("a", 65) + "}}", field: "status.nodeInfo.operatingSystem", want: "may not be more than 64"},
	)
}

// goodHostMachineTemplates is what people write into templates and may, beside requests.
func goodHostMachineTemplates() []goodInput {
	return []goodInput{
		{name: "labels for machines", spec: "{template: {metadata: {labels: {team: a}, annotations: {example.org/a: b}}, spec: " + minimalRequest + "}}"},
		{name: "another time and no cleaning for new machines", from: inTemplate(minimalRequest), spec: inTemplate(request("provisioningTimeout: 2h, automatedCleaningMode: disabled"))},
		{name: "another image for new machines", from: inTemplate(minimalRequest), spec: inTemplate(imageOf("url: 'oci://registry.example.com/node:v1.36.4'"))},
	}
}

// badTemplateForms are wrong in any template of Cluster API's, whatever spec is in it.
func badTemplateForms(spec string) []badInput {
	return []badInput{
		{name: "no spec", field: "spec", want: "Required value"},
		{name: "no template", spec: "{}", field: "spec.template", want: "Required value"},
		{name: "empty metadata", spec: "{template: {metadata: {}, spec: " + spec + "}}", field: "spec.template.metadata", want: "should have at least 1 properties"},
		{name: "a number for a label", spec: "{template: {metadata: {labels: {a: 1}}, spec: " + spec + "}}", field: "spec.template.metadata.labels.a", want: "must be of type string"},
	}
}

// badTenantClusters is every bad input of a TenantCluster.
func badTenantClusters() []badInput {
	const want = "must have both host and port; leave it out with a TenantControlPlane, which says where its API is"
	endpoint := func(fields string) string { return "{controlPlaneEndpoint: {" + fields + "}}" }
	domains := func(list string) string { return "{failureDomains: [" + list + "]}" }
	return append(badConditions("{}"),
		badInput{name: "an endpoint without anything", spec: endpoint(""), field: "spec.controlPlaneEndpoint", want: "should have at least 1 properties"},
		badInput{name: "an endpoint without port", spec: endpoint("host: a"), field: "spec.controlPlaneEndpoint", want: want},
		badInput{name: "an endpoint without host", spec: endpoint("port: 6443"), field: "spec.controlPlaneEndpoint", want: want},
		badInput{name: "an endpoint with an empty host", spec: endpoint("host: '', port: 6443"), field: "spec.controlPlaneEndpoint.host", want: "should be at least 1 chars long"},
		badInput{name: "an endpoint with a host too long", spec: endpoint("host: " + strings.Repeat("a", 513) + ", port: 6443"), field: "spec.controlPlaneEndpoint.host", want: "may not be more than 512"},
		badInput{name: "an endpoint with port 0", spec: endpoint("host: a, port: 0"), field: "spec.controlPlaneEndpoint.port", want: "should be greater than or equal to 1"},
		badInput{name: "an endpoint with port 65536", spec: endpoint("host: a, port: 65536"), field: "spec.controlPlaneEndpoint.port", want: "should be less than or equal to 65535"},
		badInput{name: "nothing known of what Cluster API waits for", from: "{}", status: "{initialization: {}}", field: "status.initialization", want: "should have at least 1 properties"},
		badInput{name: "a failure domain twice", from: "{}", status: domains("{name: a}, {name: a}"), field: "status.failureDomains[1]", want: "Duplicate value"},
		badInput{name: "a failure domain without name", from: "{}", status: domains("{controlPlane: false}"), field: "status.failureDomains[0].name", want: "Required value"},
		badInput{name: "a failure domain with an empty name", from: "{}", status: domains("{name: ''}"), field: "status.failureDomains[0].name", want: "should be at least 1 chars long"},
		badInput{name: "a failure domain with a name too long", from: "{}", status: domains("{name: " + strings.Repeat("a", 257) + "}"), field: "status.failureDomains[0].name", want: "may not be more than 256"},
		badInput{name: "too many failure domains", from: "{}", status: domains(numbered("{name: d%d}", 101)), field: "status.failureDomains", want: "must have at most 100 items"},
		badInput{name: "too many conditions", from: "{}", status: "{conditions: [" + manyConditions(17) + "]}", field: "status.conditions", want: "must have at most 16 items"},
	)
}

// goodTenantClusters is what people write and may.
func goodTenantClusters() []goodInput {
	return []goodInput{
		{name: "without spec"},
		{name: "an empty spec", spec: "{}"},
		{name: "an endpoint", spec: "{controlPlaneEndpoint: {host: api.example.org, port: 6443}}"},
		{name: "an endpoint later", from: "{}", spec: "{controlPlaneEndpoint: {host: 192.0.2.7, port: 30001}}"},
	}
}

// goodTenantClusterTemplates is what people write and may. Bad ones are badTemplateForms.
func goodTenantClusterTemplates() []goodInput {
	return []goodInput{
		{name: "nothing asked for", spec: "{template: {}}"},
		{name: "an empty spec", spec: inTemplate("{}")},
		{name: "labels for clusters", spec: "{template: {metadata: {labels: {team: a}}}}"},
	}
}

// numbered repeats a pattern with %d, with commas between.
func numbered(pattern string, n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(pattern, i))
	}
	return strings.Join(all, ", ")
}

// addMachines gives the machines' kinds their tables.
func addMachines(found map[string]kind) {
	give := func(name string, bad []badInput, good []goodInput) {
		kind := found[name]
		kind.bad, kind.good = bad, good
		found[name] = kind
	}
	give("MachineClaim", append(badRequests(), badClaims()...), append(goodRequests(), goodClaims()...))
	give("HostMachine", append(badRequests(), badHostMachines()...), append(goodRequests(), goodHostMachines()...))

	bad, good := badHostMachineTemplates(), goodHostMachineTemplates()
	for _, input := range badRequests() {
		input.spec, input.field = inTemplate(input.spec), templateSpec+strings.TrimPrefix(input.field, "spec")
		bad = append(bad, input)
	}
	for _, input := range goodRequests() {
		if input.from != "" {
			input.from = inTemplate(input.from)
		}
		input.spec = inTemplate(input.spec)
		good = append(good, input)
	}
	give("HostMachineTemplate", bad, good)
	bad, good = badPools(), goodPools()
	for _, input := range badRequests() {
		input.spec = poolOf(input.spec)
		bad = append(bad, input)
	}
	for _, input := range goodRequests() {
		if input.from != "" {
			input.from = poolOf(input.from)
		}
		input.spec = poolOf(input.spec)
		good = append(good, input)
	}
	give("WorkerPool", bad, good)
	give("TenantCluster", badTenantClusters(), goodTenantClusters())
	give("TenantClusterTemplate", badTemplateForms("{}"), goodTenantClusterTemplates())
}
