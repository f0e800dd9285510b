package validation

import (
	"slices"
	"strings"
)

// goodPlanes is what people write and may.
func goodPlanes() []goodInput {
	return slices.Concat([]goodInput{
		{name: "the minimum", spec: minimal},
		{name: "the older minor", spec: `{version: v1.35.4}`},
		{name: "the longest name", object: strings.Repeat("a", 50), spec: minimal},
		{name: "a name that begins with a digit", object: "7-teapots", spec: minimal},
		{name: "highly available", spec: with("replicas: 3, datastore: {etcd: {members: 3, storageSize: 20Gi, storageClassName: fast.example.org}}")},
		{name: "NodePort with everything", spec: with("endpoint: {type: NodePort, host: 192.0.2.7, port: 30001, konnectivityPort: 30002, subjectAltNames: [api.example.org, '*.example.org', 192.0.2.8, '2001:db8::1']}")},
		{name: "NodePort with one port", spec: inField("endpoint.port", "32767")},
		{name: "LoadBalancer with a name", spec: with("endpoint: {type: LoadBalancer, host: api.example.org, port: 443}")},
		{name: "LoadBalancer with an IPv6 address", spec: with(`endpoint: {type: LoadBalancer, host: "2001:db8::1"}, network: {serviceCIDR: "fd00:1::/112", podCIDR: "fd00:2::/56"}`)},
		{name: "ClusterIP", spec: inField("endpoint.type", "ClusterIP")},
		{name: "IPv6", spec: with(`network: {serviceCIDR: "fd00:1::/108", podCIDR: "fd00:2::/48"}`)},
		{name: "dual stack", spec: with(`network: {serviceCIDR: "10.96.0.0/16,fd00:96::/112", podCIDR: "10.244.0.0/16,fd00:244::/56"}, endpoint: {host: 192.0.2.7}`)},
		{name: "dual stack with IPv6 first", spec: with(`network: {serviceCIDR: "fd00:96::/108,10.96.0.0/24", podCIDR: "fd00:244::/62,10.244.0.0/22"}, endpoint: {host: "2001:db8::1"}`)},
		{name: "the longest ranges", spec: with(`network: {serviceCIDR: "100.100.100.0/24,fd00:1234:1234:1234:1234:1234:1234:1200/120", podCIDR: "100.101.100.0/22,fd00:1235:1234:1200::/56"}`)},
		{name: "the largest ranges", spec: with("network: {serviceCIDR: 172.16.0.0/12, podCIDR: 10.0.0.0/8}")},
		{name: "the smallest ranges", spec: with("network: {serviceCIDR: 10.96.0.0/24, podCIDR: 10.96.4.0/22}")},
		{name: "a domain of one label", spec: inField("network.dnsDomain", "acme")},
		{name: "resources as numbers and as text", spec: inField("components.apiServer.resources", "{requests: {cpu: 1, memory: 1073741824}, limits: {cpu: '1.5', memory: 2Gi}}")},
		{name: "a limit alone", spec: inField("components.etcd.resources.limits.memory", "1Gi")},
		{name: "a request equal to the limit", spec: inField("components.scheduler.resources", "{requests: {cpu: 1000m}, limits: {cpu: 1}}")},
		{name: "extra arguments", spec: with(`components: {
			apiServer: {extraArgs: [{name: oidc-issuer-url, value: "https://id.example.org"}, {name: oidc-client-id, value: a}, {name: oidc-required-claim, value: "hd=example.org,staff="}, {name: event-ttl, value: 2h}, {name: v, value: ""}]},
			controllerManager: {extraArgs: [{name: node-monitor-grace-period, value: 50s}]},
			scheduler: {extraArgs: [{name: feature-gates, value: "A=true,B=false"}]},
			etcd: {extraArgs: [{name: quota-backend-bytes, value: "4294967296"}]},
			konnectivityServer: {extraArgs: [{name: v, value: "4"}]}}`)},
		{name: "an extra argument that expands nothing", spec: inField("components.apiServer.extraArgs", `[{name: tls-cipher-suites, value: "$(POD_NAME) ~"}]`)},
		{name: "the longest extra argument", spec: inField("components.etcd.extraArgs", "[{name: "+strings.Repeat("a", 64)+", value: "+strings.Repeat("a", 1024)+"}]")},
		{name: "other extra arguments later", from: inField("components.apiServer.extraArgs", "[{name: event-ttl, value: 2h}]"), spec: inField("components.apiServer.extraArgs", "[{name: goaway-chance, value: '0.001'}]")},
		{name: "scheduling", spec: with(`scheduling: {
			nodeSelector: {node-role.example.com/tenants: "", zone: A_1.b},
			tolerations: [{key: node-role.example.com/tenants, operator: Exists, effect: NoSchedule}, {key: a, value: b}, {key: a, operator: Equal, value: b, effect: NoExecute, tolerationSeconds: 60}, {operator: Exists}],
			topologyKeys: [topology.kubernetes.io/zone, rack],
			priorityClassName: tenants.example.org}`)},
		{name: "the longest key of a label", spec: inField("scheduling.topologyKeys", "["+strings.Repeat("a.", 126)+"a/"+strings.Repeat("B", 63)+"]")},
		{name: "scheduling left out later", from: inField("scheduling.priorityClassName", "high"), spec: minimal},
		{name: "a mirror", spec: with("imageRepository: registry.example.com:5000/mirror/k8s.io")},
		{name: "a mirror by its host alone", spec: with("imageRepository: registry.k8s.io")},
		{name: "data that was retained", object: "acme", spec: inField("datastore.adoptFrom", "tcp-acme-4f62c5be")},
		{name: "data that was retained, of the longest name", object: strings.Repeat("b", 50), spec: inField("datastore.adoptFrom", "tcp-"+strings.Repeat("b", 50)+"-01234567")},
		{name: "data that was adopted, forgotten later", object: "adopted", from: inField("datastore.adoptFrom", "tcp-adopted-4f62c5be"), spec: minimal},
		{name: "an endpoint for Cluster API", spec: with("controlPlaneEndpoint: {host: api.example.org, port: 6443}")},
		{name: "an endpoint for Cluster API later", from: minimal, spec: with("controlPlaneEndpoint: {host: 192.0.2.7, port: 30001}")},
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
	}, goodHibernation())
}

// goodStatus is what controllers write.
const goodStatus = `
versions: [{version: v1.35.4, replicas: 1}, {version: v1.36.3, replicas: 2}]
initialization: {controlPlaneInitialized: true}
externalManagedControlPlane: true
replicas: 3
selector: teapot.dev/control-plane-name=acme
endpoint: {url: "https://192.0.2.7:30001", host: 192.0.2.7, address: 192.0.2.7, port: 30001, konnectivityPort: 30002,
  gatewayURL: "https://192.0.2.8:30443", gatewayServerName: acme.acme.teapot.internal}
hibernation:
  phase: Waking
  since: "2026-01-02T03:04:05Z"
  reason: Schedule
  message: waits for etcd
  nextChange: {time: "2026-01-02T20:00:00Z", phase: Asleep}
  awakeBecause: ["2 user connections; last at 03:04"]
`
