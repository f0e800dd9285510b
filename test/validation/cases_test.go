package validation

import (
	"fmt"
	"slices"
	"strings"
)

// badInput is something that somebody writes and the API server refuses.
type badInput struct {
	name string
	// object is the name of the object; empty where it does not matter.
	object string
	// from is the spec (YAML) of an object that exists; empty where it is created.
	from string
	// spec is the spec that is refused; empty for an object without one.
	spec string
	// status is a status whose write to an object of spec from is refused.
	status string
	// field is where the API server points, and want a part of the sentence that it says.
	field, want string
	// planeOnly says that a template's spec may have it, or is refused with another sentence.
	planeOnly bool
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

// badPlanes is every bad input of a TenantControlPlane.
func badPlanes() []badInput {
	return slices.Concat([]badInput{
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
		{name: "an empty host", spec: inField("endpoint.host", `""`), field: "spec.endpoint.host", want: "must be an IP address or a DNS name in lower case with labels of at most 63 characters, without scheme and port"},
		{name: "a URL for a host", spec: inField("endpoint.host", `"https://api.example.org"`), field: "spec.endpoint.host", want: "must be an IP address or a DNS name"},
		{name: "a host with port", spec: inField("endpoint.host", `"api.example.org:6443"`), field: "spec.endpoint.host", want: "the port is spec.endpoint.port"},
		{name: "a host in capitals", spec: inField("endpoint.host", "API.example.org"), field: "spec.endpoint.host", want: "lower case"},
		{name: "half an IP address", spec: inField("endpoint.host", `"10.0.0"`), field: "spec.endpoint.host", want: "must be an IP address or a DNS name"},
		{name: "an IP address out of range", spec: inField("endpoint.host", `"10.0.0.256"`), field: "spec.endpoint.host", want: "must be an IP address or a DNS name"},
		{name: "an IPv6 address in brackets", spec: inField("endpoint.host", `"[2001:db8::1]"`), field: "spec.endpoint.host", want: "must be an IP address or a DNS name"},
		{name: "a host too long", spec: inField("endpoint.host", strings.Repeat("a.", 126)+"aa"), field: "spec.endpoint.host", want: "may not be more than 253"},
		{name: "a host with a label too long", spec: inField("endpoint.host", strings.Repeat("a", 64)+".example.org"), field: "spec.endpoint.host", want: "labels of at most 63 characters"},
		{name: "a host of another family than Services", spec: inField("endpoint.host", `"2001:db8::1"`), field: "spec.endpoint.host", want: "must be of the address family of spec.network.serviceCIDR, of its first range if it has two, since pods inside dial it; give an address of that family, or a DNS name"},
		{name: "a host of the second family", spec: with(`endpoint: {host: "2001:db8::1"}, network: {serviceCIDR: "10.96.0.0/16,fd00:96::/112", podCIDR: "10.244.0.0/16,fd00:244::/56"}`), field: "spec.endpoint.host", want: "of its first range if it has two"},
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
		{name: "a name with a label too long", spec: inField("endpoint.subjectAltNames", "["+strings.Repeat("a", 64)+".example.org]"), field: "spec.endpoint.subjectAltNames", want: "labels of at most 63 characters"},
		{name: "a name too long", spec: inField("endpoint.subjectAltNames", "["+strings.Repeat("a.", 126)+"aa]"), field: "spec.endpoint.subjectAltNames[0]", want: "may not be more than 253"},
		{name: "a name twice", spec: inField("endpoint.subjectAltNames", `[api.example.org, api.example.org]`), field: "spec.endpoint.subjectAltNames[1]", want: "Duplicate value"},
		{name: "too many names", spec: inField("endpoint.subjectAltNames", "["+names(33)+"]"), field: "spec.endpoint.subjectAltNames", want: "must have at most 32 items"},

		// network
		{name: "an address for a range of Services", spec: inField("network.serviceCIDR", "10.96.0.0"), field: "spec.network.serviceCIDR", want: "must be a range of addresses without bits after its prefix, for example 10.96.0.0/16"},
		{name: "a range of Services with host bits", spec: inField("network.serviceCIDR", "10.96.0.1/16"), field: "spec.network.serviceCIDR", want: "must be a range of addresses without bits after its prefix"},
		{name: "an empty range of Services", spec: inField("network.serviceCIDR", `""`), field: "spec.network.serviceCIDR", want: "must be a range of addresses"},
		{name: "a range of Services and an empty one", spec: inField("network.serviceCIDR", `"10.96.0.0/16,"`), field: "spec.network.serviceCIDR", want: "or two for dual stack, for example 10.96.0.0/16,fd00:96::/112"},
		{name: "two ranges of Services with a space", spec: with(`network: {serviceCIDR: "10.96.0.0/16, fd00:96::/112", podCIDR: "10.244.0.0/16,fd00:244::/56"}`), field: "spec.network.serviceCIDR", want: "or two for dual stack"},
		{name: "two ranges of Services of one family", spec: with(`network: {serviceCIDR: "10.96.0.0/16,10.97.0.0/16", podCIDR: "10.244.0.0/16,10.245.0.0/16"}`), field: "spec.network.serviceCIDR", want: "must be one range, or one of IPv4 and one of IPv6; leave out what is too much"},
		{name: "three ranges of Services", spec: with(`network: {serviceCIDR: "10.96.0.0/16,fd00:96::/112,10.97.0.0/16", podCIDR: "10.244.0.0/16,fd00:244::/56,10.245.0.0/16"}`), field: "spec.network.serviceCIDR", want: "must be one range, or one of IPv4 and one of IPv6"},
		{name: "a second range of Services with host bits", spec: with(`network: {serviceCIDR: "10.96.0.0/16,fd00:96::1/112", podCIDR: "10.244.0.0/16,fd00:244::/56"}`), field: "spec.network.serviceCIDR", want: "without bits after its prefix"},
		{name: "a second range of Services too large", spec: with(`network: {serviceCIDR: "10.96.0.0/16,fd00:96::/64", podCIDR: "10.244.0.0/16,fd00:244::/56"}`), field: "spec.network.serviceCIDR", want: "between /108 and /120 (IPv6)"},
		{name: "link-local addresses for a second range of Services", spec: with(`network: {serviceCIDR: "10.96.0.0/16,fe80::/112", podCIDR: "10.244.0.0/16,fd00:244::/56"}`), field: "spec.network.serviceCIDR", want: "must not be a range of unspecified, loopback, link-local or multicast addresses"},
		{name: "ranges of Services too long to read", spec: with(`network: {serviceCIDR: "100.100.100.0/24,fd00:0000:0000:0000:0000:0000:100.100.100.0/120", podCIDR: "10.244.0.0/16,fd00:244::/56"}`), field: "spec.network.serviceCIDR", want: "may not be more than 62"},
		{name: "multicast for Services", spec: inField("network.serviceCIDR", "224.0.0.0/16"), field: "spec.network.serviceCIDR", want: "must not be a range of unspecified, loopback, link-local or multicast addresses"},
		{name: "too few addresses for Services", spec: inField("network.serviceCIDR", "10.96.0.0/28"), field: "spec.network.serviceCIDR", want: "must be between /12 and /24 (IPv4) or between /108 and /120 (IPv6), the sizes that kube-apiserver can serve and that have room for cluster DNS"},
		{name: "too many addresses for Services", spec: with("network: {serviceCIDR: 11.0.0.0/8}"), field: "spec.network.serviceCIDR", want: "must be between /12 and /24"},
		{name: "too many IPv6 addresses for Services", spec: with(`network: {serviceCIDR: "fd00:1::/64", podCIDR: "fd00:2::/48"}`), field: "spec.network.serviceCIDR", want: "between /108 and /120 (IPv6)"},
		{name: "a name for a range of pods", spec: inField("network.podCIDR", "private"), field: "spec.network.podCIDR", want: "must be a range of addresses without bits after its prefix, for example 10.244.0.0/16"},
		{name: "a range of pods with host bits", spec: inField("network.podCIDR", "10.244.7.0/16"), field: "spec.network.podCIDR", want: "must be a range of addresses without bits after its prefix"},
		{name: "a range of pods too long to read", spec: inField("network.podCIDR", strings.Repeat("a", 63)), field: "spec.network.podCIDR", want: "may not be more than 62"},
		{name: "loopback for pods", spec: inField("network.podCIDR", "127.0.0.0/16"), field: "spec.network.podCIDR", want: "must not be a range of unspecified, loopback, link-local or multicast addresses"},
		{name: "too few addresses for pods", spec: inField("network.podCIDR", "10.244.0.0/24"), field: "spec.network.podCIDR", want: "must be between /8 and /22 (IPv4) or between /48 and /62 (IPv6), so that there is a /24 or /64 for at least four machines"},
		{name: "too few IPv6 addresses for pods", spec: with(`network: {serviceCIDR: "fd00:1::/112", podCIDR: "fd00:2::/64"}`), field: "spec.network.podCIDR", want: "between /48 and /62 (IPv6)"},
		{name: "Services among the pods", spec: inField("network.podCIDR", "10.0.0.0/8"), field: "spec.network.podCIDR", want: "must not overlap spec.network.serviceCIDR; choose ranges that have no address in common"},
		{name: "pods among the Services", spec: with("network: {serviceCIDR: 10.240.0.0/12, podCIDR: 10.244.0.0/16}"), field: "spec.network.podCIDR", want: "must not overlap spec.network.serviceCIDR"},
		{name: "pods of another family", spec: inField("network.podCIDR", `"fd00:2::/56"`), field: "spec.network.podCIDR", want: "must be of the address family of spec.network.serviceCIDR; make both IPv4, both IPv6, or both of two ranges in the same order"},
		{name: "dual stack for pods alone", spec: inField("network.podCIDR", `"10.244.0.0/16,fd00:244::/56"`), field: "spec.network.podCIDR", want: "must be of the address family of spec.network.serviceCIDR"},
		{name: "dual stack for Services alone", spec: inField("network.serviceCIDR", `"10.96.0.0/16,fd00:96::/112"`), field: "spec.network.podCIDR", want: "must be of the address family of spec.network.serviceCIDR"},
		{name: "dual stack in two orders", spec: with(`network: {serviceCIDR: "10.96.0.0/16,fd00:96::/112", podCIDR: "fd00:244::/56,10.244.0.0/16"}`), field: "spec.network.podCIDR", want: "or both of two ranges in the same order"},
		{name: "a second range of pods that overlaps", spec: with(`network: {serviceCIDR: "10.96.0.0/16,fd00:96::/112", podCIDR: "10.244.0.0/16,fd00:96::/56"}`), field: "spec.network.podCIDR", want: "must not overlap spec.network.serviceCIDR"},
		{name: "two ranges of pods of one family", spec: with(`network: {serviceCIDR: "10.96.0.0/16,fd00:96::/112", podCIDR: "10.244.0.0/16,10.245.0.0/16"}`), field: "spec.network.podCIDR", want: "or both of two ranges in the same order"},
		{name: "three ranges of pods", spec: with(`network: {serviceCIDR: "10.96.0.0/16,fd00:96::/112", podCIDR: "10.244.0.0/16,fd00:244::/56,fd00:245::/56"}`), field: "spec.network.podCIDR", want: "or both of two ranges in the same order"},
		{name: "an empty domain", spec: inField("network.dnsDomain", `""`), field: "spec.network.dnsDomain", want: "must be a DNS domain in lower case"},
		{name: "a domain with a dot at its end", spec: inField("network.dnsDomain", "cluster.local."), field: "spec.network.dnsDomain", want: "without a dot at its end, for example cluster.local"},
		{name: "a domain in capitals", spec: inField("network.dnsDomain", "Cluster.Local"), field: "spec.network.dnsDomain", want: "in lower case"},
		{name: "a label too long", spec: inField("network.dnsDomain", strings.Repeat("a", 64)+".local"), field: "spec.network.dnsDomain", want: "labels of at most 63 characters"},
		{name: "a domain too long", spec: inField("network.dnsDomain", strings.Repeat("a.", 64)+"a"), field: "spec.network.dnsDomain", want: "may not be more than 128"},
		{name: "another range of Services", from: minimal, spec: inField("network.serviceCIDR", "10.97.0.0/16"), field: "spec.network", want: "cannot be changed after creation; make a new control plane", planeOnly: true},
		{name: "another range of pods", from: minimal, spec: inField("network.podCIDR", "10.245.0.0/16"), field: "spec.network", want: "cannot be changed after creation", planeOnly: true},
		{name: "another domain", from: minimal, spec: inField("network.dnsDomain", "example.org"), field: "spec.network", want: "cannot be changed after creation", planeOnly: true},
		{name: "network left out later", from: inField("network.dnsDomain", "example.org"), spec: minimal, field: "spec.network", want: "cannot be changed after creation", planeOnly: true},

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

		{name: "a namespace of data too long", object: strings.Repeat("a", 50), spec: inField("datastore.adoptFrom", "tcp-"+strings.Repeat("a", 50)+"-"+strings.Repeat("0", 9)), field: "spec.datastore.adoptFrom", want: "may not be more than 63", planeOnly: true},
		{name: "data of another control plane", object: "acme", spec: inField("datastore.adoptFrom", "tcp-globex-4f62c5be"), field: "spec.datastore.adoptFrom", want: "must be the namespace that a control plane of the same namespace and name retained, tcp-<name>-<hash>; the condition NamespaceReady names it if there is one", planeOnly: true},
		{name: "data of a namespace of somebody's", object: "acme", spec: inField("datastore.adoptFrom", "kube-system"), field: "spec.datastore.adoptFrom", want: "must be the namespace that a control plane of the same namespace and name retained", planeOnly: true},

		// addons, runtime class, the rest
		{name: "a word for a switch", spec: inField("addons.coreDNS.enabled", "maybe"), field: "spec.addons.coreDNS.enabled", want: "must be of type boolean"},
		{name: "a runtime class in capitals", spec: with("runtimeClassName: Kata"), field: "spec.runtimeClassName", want: "must be the name of a RuntimeClass (lower-case letters, digits, '-' and '.'), for example kata; leave it out for the default"},
		{name: "an empty runtime class", spec: with(`runtimeClassName: ""`), field: "spec.runtimeClassName", want: "leave it out for the default"},
		{name: "a runtime class too long", spec: with("runtimeClassName: " + strings.Repeat("a", 254)), field: "spec.runtimeClassName", want: "may not be more than 253"},
		{name: "a URL for a registry", spec: with(`imageRepository: "https://registry.example.com"`), field: "spec.imageRepository", want: "must be a registry with an optional port and path, without scheme, tag and '/' at its end, for example registry.example.com/mirror"},
		{name: "a registry with a slash at its end", spec: with("imageRepository: registry.example.com/mirror/"), field: "spec.imageRepository", want: "'/' at its end"},
		{name: "a registry with a tag", spec: with("imageRepository: 'registry.example.com/mirror:v1'"), field: "spec.imageRepository", want: "without scheme, tag"},
		{name: "an empty registry", spec: with(`imageRepository: ""`), field: "spec.imageRepository", want: "must be a registry"},
		{name: "a registry too long", spec: with("imageRepository: " + strings.Repeat("a", 256)), field: "spec.imageRepository", want: "may not be more than 255"},
		{name: "an unknown deletion policy", spec: with("deletionPolicy: Orphan"), field: "spec.deletionPolicy", want: `supported values: "Delete", "Retain"`},
		{name: "a word for paused", spec: with(`paused: "yes"`), field: "spec.paused", want: "must be of type boolean"},
		{name: "an empty endpoint for Cluster API", spec: with("controlPlaneEndpoint: {}"), field: "spec.controlPlaneEndpoint", want: "should have at least 1 properties"},
		{name: "an endpoint for Cluster API with an empty host", spec: inField("controlPlaneEndpoint.host", `""`), field: "spec.controlPlaneEndpoint.host", want: "should be at least 1 chars long"},
		{name: "an endpoint for Cluster API with a host too long", spec: inField("controlPlaneEndpoint.host", strings.Repeat("a", 513)), field: "spec.controlPlaneEndpoint.host", want: "may not be more than 512"},
		{name: "an endpoint for Cluster API with port 0", spec: inField("controlPlaneEndpoint.port", "0"), field: "spec.controlPlaneEndpoint.port", want: "should be greater than or equal to 1"},
		{name: "an endpoint for Cluster API with port 65536", spec: inField("controlPlaneEndpoint.port", "65536"), field: "spec.controlPlaneEndpoint.port", want: "should be less than or equal to 65535"},
		{name: "no spec", spec: "", field: "spec", want: "Required value"},

		// metadata.name
		{name: "a name too long for a namespace", object: strings.Repeat("a", 51), spec: minimal, want: "metadata.name: must be at most 50 characters, since the name of the control plane's own namespace is made from it"},
		{name: "a name with a dot", object: "acme.example", spec: minimal, want: "metadata.name: must be a DNS label (a-z, 0-9 and '-', no dots), since host names are made from it"},
	}, badResources(), badExtraArgs(), badScheduling(), badHibernation(), badStatus())
}

func names(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("n%d.example.org", i))
	}
	return strings.Join(all, ", ")
}
