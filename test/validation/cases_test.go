package validation

import (
	"fmt"
	"strings"
)

// badInput is something that somebody writes and the API server refuses.
type badInput struct {
	name string
	// object is the name of the object; empty where it does not matter.
	object string
	// from is the spec (YAML) of an object that exists; empty where it is created.
	from string
	// spec is the spec that is refused.
	spec string
	// status is a status whose write to an object of spec from is refused.
	status string
	// field is where the API server points, and want a part of the sentence that it says.
	field, want string
}

// goodInput is something that is accepted.
type goodInput struct {
	name, object, from, spec string
}

const minimal = `{version: v1.36.3}`

// with returns a spec with the minimum and the given field.
func with(field string) string { return "{version: v1.36.3, " + field + "}" }

// inField returns a spec with the minimum and a value nested as the path says.
func inField(path, value string) string {
	keys := strings.Split(path, ".")
	return with(strings.Join(keys, ": {") + ": " + value + strings.Repeat("}", len(keys)-1))
}

// bad is every bad input.
func bad() []badInput {
	return append(append([]badInput{
		// version
		{name: "no version", spec: `{replicas: 1}`, field: "spec.version", want: "Required value"},
		{name: "an empty version", spec: `{version: ""}`, field: "spec.version", want: "must be a released version of Kubernetes in the form vMAJOR.MINOR.PATCH, for example v1.36.3"},
		{name: "a version without v", spec: `{version: 1.36.3}`, field: "spec.version", want: "must be a released version"},
		{name: "a version without patch", spec: `{version: v1.36}`, field: "spec.version", want: "must be a released version"},
		{name: "a word for a version", spec: `{version: latest}`, field: "spec.version", want: "must be a released version"},
		{name: "a pre-release", spec: `{version: v1.36.0-rc.1}`, field: "spec.version", want: "must be a released version"},
		{name: "a leading zero", spec: `{version: v1.36.03}`, field: "spec.version", want: "must be a released version"},
		{name: "a number for a version", spec: `{version: 1.36}`, field: "spec.version", want: "must be of type string"},
		{name: "a version too long", spec: `{version: v1.36.12345678901}`, field: "spec.version", want: "may not be more than 16"},
		{name: "a version too old", spec: `{version: v1.34.9}`, field: "spec.version", want: "this Teapot runs Kubernetes v1.35 and v1.36; ask for one of these, for example v1.36.3"},
		{name: "a version too new", spec: `{version: v1.37.0}`, field: "spec.version", want: "this Teapot runs Kubernetes v1.35 and v1.36"},
		{name: "another major", spec: `{version: v2.36.0}`, field: "spec.version", want: "this Teapot runs Kubernetes v1.35 and v1.36"},
		{name: "a downgrade", from: minimal, spec: `{version: v1.35.4}`, field: "spec.version", want: "cannot go from v1.36.3 to v1.35.4: etcd data is not readable by an older minor version and upgrades go one minor at a time; ask for a version of the same minor or the next"},
		{name: "minors skipped", from: `{version: v1.35.4}`, spec: `{version: v1.37.0}`, field: "spec.version", want: "cannot go from v1.35.4 to v1.37.0"},

		// replicas
		{name: "no replicas", spec: with("replicas: 0"), field: "spec.replicas", want: "should be greater than or equal to 1"},
		{name: "negative replicas", spec: with("replicas: -1"), field: "spec.replicas", want: "should be greater than or equal to 1"},
		{name: "too many replicas", spec: with("replicas: 8"), field: "spec.replicas", want: "should be less than or equal to 7"},
		{name: "a word for replicas", spec: with("replicas: many"), field: "spec.replicas", want: "must be of type integer"},
		{name: "scaled to nothing", from: minimal, spec: with("replicas: 0"), field: "spec.replicas", want: "should be greater than or equal to 1"},

		// endpoint
		{name: "an unknown type of endpoint", spec: inField("endpoint.type", "Ingress"), field: "spec.endpoint.type", want: `supported values: "NodePort", "LoadBalancer", "ClusterIP"`},
		{name: "another type of endpoint", from: minimal, spec: inField("endpoint.type", "LoadBalancer"), field: "spec.endpoint.type", want: "cannot be changed after creation, since machines know the old address; make a new control plane"},
		{name: "type of endpoint left out later", from: inField("endpoint.type", "ClusterIP"), spec: minimal, field: "spec.endpoint.type", want: "cannot be changed after creation"},
		{name: "an empty host", spec: inField("endpoint.host", `""`), field: "spec.endpoint.host", want: "must be an IP address or a DNS name in lower case, without scheme and port"},
		{name: "a URL for a host", spec: inField("endpoint.host", `"https://api.example.org"`), field: "spec.endpoint.host", want: "must be an IP address or a DNS name"},
		{name: "a host with port", spec: inField("endpoint.host", `"api.example.org:6443"`), field: "spec.endpoint.host", want: "the port is spec.endpoint.port"},
		{name: "a host in capitals", spec: inField("endpoint.host", "API.example.org"), field: "spec.endpoint.host", want: "lower case"},
		{name: "half an IP address", spec: inField("endpoint.host", `"10.0.0"`), field: "spec.endpoint.host", want: "must be an IP address or a DNS name"},
		{name: "an IP address out of range", spec: inField("endpoint.host", `"10.0.0.256"`), field: "spec.endpoint.host", want: "must be an IP address or a DNS name"},
		{name: "an IPv6 address in brackets", spec: inField("endpoint.host", `"[2001:db8::1]"`), field: "spec.endpoint.host", want: "must be an IP address or a DNS name"},
		{name: "a host too long", spec: inField("endpoint.host", strings.Repeat("a", 254)), field: "spec.endpoint.host", want: "may not be more than 253"},
		{name: "the loopback address", spec: inField("endpoint.host", "127.0.0.1"), field: "spec.endpoint.host", want: "must be an address that machines can dial"},
		{name: "the unspecified address", spec: inField("endpoint.host", "0.0.0.0"), field: "spec.endpoint.host", want: "must be an address that machines can dial"},
		{name: "a cloud's metadata address", spec: inField("endpoint.host", "169.254.169.254"), field: "spec.endpoint.host", want: "must be an address that machines can dial"},
		{name: "a host with ClusterIP", spec: with("endpoint: {type: ClusterIP, host: 10.0.0.1}"), field: "spec.endpoint.host", want: "cannot be set for type ClusterIP, whose address is that of its Service; leave it out, or use type NodePort or LoadBalancer"},
		{name: "port 0", spec: with("endpoint: {type: LoadBalancer, port: 0}"), field: "spec.endpoint.port", want: "should be greater than or equal to 1"},
		{name: "port 65536", spec: with("endpoint: {type: LoadBalancer, port: 65536}"), field: "spec.endpoint.port", want: "should be less than or equal to 65535"},
		{name: "a usual port with NodePort", spec: inField("endpoint.port", "6443"), field: "spec.endpoint.port", want: "must be between 30000 and 32767 for type NodePort (the range of node ports); leave it out to have one chosen"},
		{name: "a port above node ports", spec: inField("endpoint.port", "32768"), field: "spec.endpoint.port", want: "must be between 30000 and 32767"},
		{name: "konnectivity port 0", spec: with("endpoint: {type: LoadBalancer, konnectivityPort: 0}"), field: "spec.endpoint.konnectivityPort", want: "should be greater than or equal to 1"},
		{name: "konnectivity port 65536", spec: with("endpoint: {type: LoadBalancer, konnectivityPort: 65536}"), field: "spec.endpoint.konnectivityPort", want: "should be less than or equal to 65535"},
		{name: "a usual konnectivity port with NodePort", spec: inField("endpoint.konnectivityPort", "8132"), field: "spec.endpoint.konnectivityPort", want: "must be between 30000 and 32767 for type NodePort"},
		{name: "one port for both", spec: with("endpoint: {port: 30001, konnectivityPort: 30001}"), field: "spec.endpoint.konnectivityPort", want: "must differ from spec.endpoint.port"},
		{name: "the API on konnectivity's default port", spec: with("endpoint: {type: LoadBalancer, port: 8132}"), field: "spec.endpoint.konnectivityPort", want: "must differ from spec.endpoint.port"},
		{name: "konnectivity on the API's default port", spec: with("endpoint: {type: ClusterIP, konnectivityPort: 6443}"), field: "spec.endpoint.konnectivityPort", want: "must differ from spec.endpoint.port"},
		{name: "a konnectivity port without konnectivity", spec: with("endpoint: {konnectivityPort: 30002}, addons: {konnectivity: {enabled: false}}"), field: "spec.endpoint.konnectivityPort", want: "has no meaning without konnectivity; leave it out, or set spec.addons.konnectivity.enabled to true"},
		{name: "a URL for a name", spec: inField("endpoint.subjectAltNames", `["https://api.example.org"]`), field: "spec.endpoint.subjectAltNames", want: "each must be an IP address or a DNS name in lower case"},
		{name: "an empty name", spec: inField("endpoint.subjectAltNames", `[""]`), field: "spec.endpoint.subjectAltNames", want: "each must be an IP address or a DNS name"},
		{name: "a wildcard inside a name", spec: inField("endpoint.subjectAltNames", `["api.*.example.org"]`), field: "spec.endpoint.subjectAltNames", want: "a name may begin with '*.'"},
		{name: "a name too long", spec: inField("endpoint.subjectAltNames", "["+strings.Repeat("a", 254)+"]"), field: "spec.endpoint.subjectAltNames[0]", want: "may not be more than 253"},
		{name: "a name twice", spec: inField("endpoint.subjectAltNames", `[api.example.org, api.example.org]`), field: "spec.endpoint.subjectAltNames[1]", want: "Duplicate value"},
		{name: "too many names", spec: inField("endpoint.subjectAltNames", "["+names(33)+"]"), field: "spec.endpoint.subjectAltNames", want: "must have at most 32 items"},

		// network
		{name: "an address for a range of Services", spec: inField("network.serviceCIDR", "10.96.0.0"), field: "spec.network.serviceCIDR", want: "must be a range of addresses without bits after its prefix, for example 10.96.0.0/16"},
		{name: "a range of Services with host bits", spec: inField("network.serviceCIDR", "10.96.0.1/16"), field: "spec.network.serviceCIDR", want: "must be a range of addresses without bits after its prefix"},
		{name: "an empty range of Services", spec: inField("network.serviceCIDR", `""`), field: "spec.network.serviceCIDR", want: "must be a range of addresses"},
		{name: "two ranges of Services", spec: inField("network.serviceCIDR", `"10.96.0.0/16,fd00::/112"`), field: "spec.network.serviceCIDR", want: "must be a range of addresses"},
		{name: "a range of Services too long to read", spec: with(`network: {serviceCIDR: "fd00:0000:0000:0000:0000:0000:100.240.0.0/108", podCIDR: "fd00:2::/48"}`), field: "spec.network.serviceCIDR", want: "may not be more than 43"},
		{name: "multicast for Services", spec: inField("network.serviceCIDR", "224.0.0.0/16"), field: "spec.network.serviceCIDR", want: "must not be a range of unspecified, loopback, link-local or multicast addresses"},
		{name: "too few addresses for Services", spec: inField("network.serviceCIDR", "10.96.0.0/28"), field: "spec.network.serviceCIDR", want: "must be between /12 and /24 (IPv4) or between /108 and /120 (IPv6), the sizes that kube-apiserver can serve and that have room for cluster DNS"},
		{name: "too many addresses for Services", spec: with("network: {serviceCIDR: 11.0.0.0/8}"), field: "spec.network.serviceCIDR", want: "must be between /12 and /24"},
		{name: "too many IPv6 addresses for Services", spec: with(`network: {serviceCIDR: "fd00:1::/64", podCIDR: "fd00:2::/48"}`), field: "spec.network.serviceCIDR", want: "between /108 and /120 (IPv6)"},
		{name: "a name for a range of pods", spec: inField("network.podCIDR", "private"), field: "spec.network.podCIDR", want: "must be a range of addresses without bits after its prefix, for example 10.244.0.0/16"},
		{name: "a range of pods with host bits", spec: inField("network.podCIDR", "10.244.7.0/16"), field: "spec.network.podCIDR", want: "must be a range of addresses without bits after its prefix"},
		{name: "a range of pods too long to read", spec: inField("network.podCIDR", strings.Repeat("a", 44)), field: "spec.network.podCIDR", want: "may not be more than 43"},
		{name: "loopback for pods", spec: inField("network.podCIDR", "127.0.0.0/16"), field: "spec.network.podCIDR", want: "must not be a range of unspecified, loopback, link-local or multicast addresses"},
		{name: "too few addresses for pods", spec: inField("network.podCIDR", "10.244.0.0/24"), field: "spec.network.podCIDR", want: "must be between /8 and /22 (IPv4) or between /48 and /62 (IPv6), so that there is a /24 or /64 for at least four machines"},
		{name: "too few IPv6 addresses for pods", spec: with(`network: {serviceCIDR: "fd00:1::/112", podCIDR: "fd00:2::/64"}`), field: "spec.network.podCIDR", want: "between /48 and /62 (IPv6)"},
		{name: "Services among the pods", spec: inField("network.podCIDR", "10.0.0.0/8"), field: "spec.network.podCIDR", want: "must not overlap spec.network.serviceCIDR; choose ranges that have no address in common"},
		{name: "pods among the Services", spec: with("network: {serviceCIDR: 10.240.0.0/12, podCIDR: 10.244.0.0/16}"), field: "spec.network.podCIDR", want: "must not overlap spec.network.serviceCIDR"},
		{name: "two address families", spec: inField("network.podCIDR", `"fd00:2::/56"`), field: "spec.network.podCIDR", want: "must be of the address family of spec.network.serviceCIDR; make both IPv4 or both IPv6"},
		{name: "an empty domain", spec: inField("network.dnsDomain", `""`), field: "spec.network.dnsDomain", want: "must be a DNS domain in lower case"},
		{name: "a domain with a dot at its end", spec: inField("network.dnsDomain", "cluster.local."), field: "spec.network.dnsDomain", want: "without a dot at its end, for example cluster.local"},
		{name: "a domain in capitals", spec: inField("network.dnsDomain", "Cluster.Local"), field: "spec.network.dnsDomain", want: "in lower case"},
		{name: "a label too long", spec: inField("network.dnsDomain", strings.Repeat("a", 64)+".local"), field: "spec.network.dnsDomain", want: "labels of at most 63 characters"},
		{name: "a domain too long", spec: inField("network.dnsDomain", strings.Repeat("a.", 64)+"a"), field: "spec.network.dnsDomain", want: "may not be more than 128"},
		{name: "another range of Services", from: minimal, spec: inField("network.serviceCIDR", "10.97.0.0/16"), field: "spec.network", want: "cannot be changed after creation; make a new control plane"},
		{name: "another range of pods", from: minimal, spec: inField("network.podCIDR", "10.245.0.0/16"), field: "spec.network", want: "cannot be changed after creation"},
		{name: "another domain", from: minimal, spec: inField("network.dnsDomain", "example.org"), field: "spec.network", want: "cannot be changed after creation"},
		{name: "network left out later", from: inField("network.dnsDomain", "example.org"), spec: minimal, field: "spec.network", want: "cannot be changed after creation"},

		// datastore
		{name: "two etcd members", spec: inField("datastore.etcd.members", "2"), field: "spec.datastore.etcd.members", want: `supported values: "1", "3"`},
		{name: "no etcd members", spec: inField("datastore.etcd.members", "0"), field: "spec.datastore.etcd.members", want: `supported values: "1", "3"`},
		{name: "five etcd members", spec: inField("datastore.etcd.members", "5"), field: "spec.datastore.etcd.members", want: `supported values: "1", "3"`},
		{name: "more etcd members", from: minimal, spec: inField("datastore.etcd.members", "3"), field: "spec.datastore.etcd.members", want: "cannot be changed after creation; make a new control plane"},
		{name: "a size in words", spec: inField("datastore.etcd.storageSize", `"8 GB"`), field: "spec.datastore.etcd.storageSize", want: "must be an amount of bytes: a number, mostly with one of the suffixes Mi, Gi and Ti, for example 8Gi"},
		{name: "a size with an unknown suffix", spec: inField("datastore.etcd.storageSize", "8GB"), field: "spec.datastore.etcd.storageSize", want: "must be an amount of bytes"},
		{name: "an exponent for a size", spec: inField("datastore.etcd.storageSize", `"1e10"`), field: "spec.datastore.etcd.storageSize", want: "must be an amount of bytes"},
		{name: "a negative size", spec: inField("datastore.etcd.storageSize", "-8Gi"), field: "spec.datastore.etcd.storageSize", want: "must be at least 1Gi"},
		{name: "a size without unit", spec: inField("datastore.etcd.storageSize", "8"), field: "spec.datastore.etcd.storageSize", want: "must be at least 1Gi"},
		{name: "a size too small", spec: inField("datastore.etcd.storageSize", "512Mi"), field: "spec.datastore.etcd.storageSize", want: "must be at least 1Gi"},
		{name: "a size too long to read", spec: inField("datastore.etcd.storageSize", `"`+strings.Repeat("0", 18)+`8Gi"`), field: "spec.datastore.etcd.storageSize", want: "may not be more than 20"},
		{name: "storage that shrinks", from: minimal, spec: inField("datastore.etcd.storageSize", "4Gi"), field: "spec.datastore.etcd.storageSize", want: "cannot be changed after creation; make a new control plane"},
		{name: "storage that grows", from: minimal, spec: inField("datastore.etcd.storageSize", "16Gi"), field: "spec.datastore.etcd.storageSize", want: "cannot be changed after creation"},
		{name: "a storage class in capitals", spec: inField("datastore.etcd.storageClassName", "Fast"), field: "spec.datastore.etcd.storageClassName", want: "must be the name of a StorageClass (lower-case letters, digits, '-' and '.'), for example standard; leave it out for the default"},
		{name: "an empty storage class", spec: inField("datastore.etcd.storageClassName", `""`), field: "spec.datastore.etcd.storageClassName", want: "leave it out for the default"},
		{name: "a storage class too long", spec: inField("datastore.etcd.storageClassName", strings.Repeat("a", 254)), field: "spec.datastore.etcd.storageClassName", want: "may not be more than 253"},
		{name: "another storage class", from: inField("datastore.etcd.storageClassName", "slow"), spec: inField("datastore.etcd.storageClassName", "fast"), field: "spec.datastore.etcd.storageClassName", want: "cannot be changed after creation; make a new control plane"},
		{name: "a storage class named later", from: minimal, spec: inField("datastore.etcd.storageClassName", "fast"), field: "spec.datastore.etcd.storageClassName", want: "cannot be changed after creation"},
		{name: "a storage class left out later", from: inField("datastore.etcd.storageClassName", "slow"), spec: minimal, field: "spec.datastore.etcd.storageClassName", want: "cannot be changed after creation"},

		// addons, runtime class, the rest
		{name: "a word for a switch", spec: inField("addons.coreDNS.enabled", "maybe"), field: "spec.addons.coreDNS.enabled", want: "must be of type boolean"},
		{name: "a runtime class in capitals", spec: with("runtimeClassName: Kata"), field: "spec.runtimeClassName", want: "must be the name of a RuntimeClass (lower-case letters, digits, '-' and '.'), for example kata; leave it out for the default"},
		{name: "an empty runtime class", spec: with(`runtimeClassName: ""`), field: "spec.runtimeClassName", want: "leave it out for the default"},
		{name: "a runtime class too long", spec: with("runtimeClassName: " + strings.Repeat("a", 254)), field: "spec.runtimeClassName", want: "may not be more than 253"},
		{name: "an unknown deletion policy", spec: with("deletionPolicy: Orphan"), field: "spec.deletionPolicy", want: `supported values: "Delete", "Retain"`},
		{name: "a word for paused", spec: with(`paused: "yes"`), field: "spec.paused", want: "must be of type boolean"},
		{name: "no spec", spec: "", field: "spec", want: "Required value"},

		// metadata.name
		{name: "a name too long for a namespace", object: strings.Repeat("a", 51), spec: minimal, want: "metadata.name: must be at most 50 characters, since the name of the control plane's own namespace is made from it"},
		{name: "a name with a dot", object: "acme.example", spec: minimal, want: "metadata.name: must be a DNS label (a-z, 0-9 and '-', no dots), since host names are made from it"},
	}, badResources()...), badStatus()...)
}

// badResources are wrong in one component's resources; each component has the same.
func badResources() (cases []badInput) {
	for _, component := range []string{"apiServer", "controllerManager", "scheduler", "etcd", "konnectivityServer"} {
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

// badStatus are mistakes of a controller. The schema of conditions is the one that all
// conditions of Kubernetes share.
func badStatus() []badInput {
	condition := func(field, value string) string {
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
	cases := []badInput{
		{name: "an endpoint without url", from: minimal, status: "{endpoint: {host: a, address: 192.0.2.1, port: 1}}", field: "status.endpoint.url", want: "Required value"},
		{name: "an endpoint without host", from: minimal, status: "{endpoint: {url: 'https://a:1', address: 192.0.2.1, port: 1}}", field: "status.endpoint.host", want: "Required value"},
		{name: "an endpoint without address", from: minimal, status: "{endpoint: {url: 'https://a:1', host: a, port: 1}}", field: "status.endpoint.address", want: "Required value"},
		{name: "an endpoint without port", from: minimal, status: "{endpoint: {url: 'https://a:1', host: a, address: 192.0.2.1}}", field: "status.endpoint.port", want: "Required value"},
		{name: "Secrets without that of users", from: minimal, status: "{secrets: {kubeconfig: a, certificateAuthority: b}}", field: "status.secrets.userKubeconfig", want: "Required value"},
		{name: "Secrets without that of controllers", from: minimal, status: "{secrets: {userKubeconfig: a, certificateAuthority: b}}", field: "status.secrets.kubeconfig", want: "Required value"},
		{name: "Secrets without the authority", from: minimal, status: "{secrets: {userKubeconfig: a, kubeconfig: b}}", field: "status.secrets.certificateAuthority", want: "Required value"},
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
			name: c.name, from: minimal, status: "{conditions: [" + condition(c.field, c.value) + "]}",
			field: "status.conditions[0]." + c.field, want: c.want,
		})
	}
	return cases
}

// good is what people write and may.
func good() []goodInput {
	return []goodInput{
		{name: "the minimum", spec: minimal},
		{name: "the older minor", spec: `{version: v1.35.4}`},
		{name: "the longest name", object: strings.Repeat("a", 50), spec: minimal},
		{name: "a name that begins with a digit", object: "7-teapots", spec: minimal},
		{name: "highly available", spec: with("replicas: 3, datastore: {etcd: {members: 3, storageSize: 20Gi, storageClassName: fast.example.org}}")},
		{name: "NodePort with everything", spec: with("endpoint: {type: NodePort, host: 192.0.2.7, port: 30001, konnectivityPort: 30002, subjectAltNames: [api.example.org, '*.example.org', 192.0.2.8, '2001:db8::1']}")},
		{name: "NodePort with one port", spec: inField("endpoint.port", "32767")},
		{name: "LoadBalancer with a name", spec: with("endpoint: {type: LoadBalancer, host: api.example.org, port: 443}")},
		{name: "LoadBalancer with an IPv6 address", spec: with(`endpoint: {type: LoadBalancer, host: "2001:db8::1"}`)},
		{name: "ClusterIP", spec: inField("endpoint.type", "ClusterIP")},
		{name: "IPv6", spec: with(`network: {serviceCIDR: "fd00:1::/108", podCIDR: "fd00:2::/48"}`)},
		{name: "the largest ranges", spec: with("network: {serviceCIDR: 172.16.0.0/12, podCIDR: 10.0.0.0/8}")},
		{name: "the smallest ranges", spec: with("network: {serviceCIDR: 10.96.0.0/24, podCIDR: 10.96.4.0/22}")},
		{name: "a domain of one label", spec: inField("network.dnsDomain", "acme")},
		{name: "resources as numbers and as text", spec: inField("components.apiServer.resources", "{requests: {cpu: 1, memory: 1073741824}, limits: {cpu: '1.5', memory: 2Gi}}")},
		{name: "a limit alone", spec: inField("components.etcd.resources.limits.memory", "1Gi")},
		{name: "a request equal to the limit", spec: inField("components.scheduler.resources", "{requests: {cpu: 1000m}, limits: {cpu: 1}}")},
		{name: "a sandbox", spec: with("runtimeClassName: kata-qemu.v1")},
		{name: "without add-ons", spec: with("addons: {coreDNS: {enabled: false}, kubeProxy: {enabled: false}, konnectivity: {enabled: false}}")},
		{name: "kept and paused", spec: with("deletionPolicy: Retain, paused: true")},
		{name: "null for a default", spec: with("network: null, endpoint: {type: null}, replicas: null")},
		{name: "a newer patch version", from: minimal, spec: `{version: v1.36.4}`},
		{name: "an older patch version", from: minimal, spec: `{version: v1.36.0}`},
		{name: "the next minor version", from: `{version: v1.35.4}`, spec: minimal},
		{name: "nothing changed", from: minimal, spec: minimal},
		{name: "defaults written out later", from: minimal, spec: with("network: {serviceCIDR: 10.96.0.0/16, podCIDR: 10.244.0.0/16, dnsDomain: cluster.local}, endpoint: {type: NodePort}, datastore: {etcd: {members: 1, storageSize: 8192Mi}}")},
		{name: "a port chosen later", from: minimal, spec: inField("endpoint.port", "30001")},
		{name: "more replicas", from: minimal, spec: with("replicas: 3")},
		{name: "another deletion policy", from: minimal, spec: with("deletionPolicy: Retain")},
		{name: "resources later", from: minimal, spec: inField("components.apiServer.resources.requests.cpu", "500m")},
	}
}

func names(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("n%d.example.org", i))
	}
	return strings.Join(all, ", ")
}
