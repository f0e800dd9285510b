package build

import "strings"

// Tools returns the groups of programs for people that no cluster is made of. A module of its own
// keeps clusterctl's dependencies, and its builds, apart from those of Cluster API's managers.
func Tools() []Group {
	const capiVersion = "sigs.k8s.io/cluster-api/version"
	capi := strings.SplitN(strings.TrimPrefix(ClusterAPIVersion, "v"), ".", 3)
	return []Group{{
		Name: "clusterctl", Version: ClusterAPIVersion,
		Binaries: []string{"clusterctl"},
		stamps: []string{
			capiVersion + ".gitVersion=" + ClusterAPIVersion,
			capiVersion + ".gitMajor=" + capi[0], capiVersion + ".gitMinor=" + capi[1],
		},
	}}
}
