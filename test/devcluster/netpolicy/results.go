package netpolicy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// resultsDir is where libcni keeps what the plugins answered, in a file for each sandbox
// that is there: <network>-<sandbox>-<interface>.
const resultsDir = "/var/lib/cni/results"

// result is what is read of such a file.
type result struct {
	// Args are the runtime's, pairs of name and value.
	Args   [][2]string `json:"cniArgs"`
	Result struct {
		IPs []struct {
			Address netip.Prefix `json:"address"`
		} `json:"ips"`
	} `json:"result"`
}

// readResults returns the addresses that plugins gave to the pods of a network, by the
// pods' UIDs. Of a pod's sandboxes the newest counts. A file that is being written or
// removed is passed over: its next change is waited for like any other.
func readResults(dir, network string) (map[types.UID][]corev1.PodIP, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the results of CNI plugins: %w", err)
	}
	type file struct {
		name string
		info fs.FileInfo
	}
	var files []file
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && strings.HasPrefix(entry.Name(), network+"-") {
			files = append(files, file{entry.Name(), info})
		}
	}
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(a.info.ModTime().Compare(b.info.ModTime()), cmp.Compare(a.name, b.name))
	})
	addresses := map[types.UID][]corev1.PodIP{}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading a result of CNI plugins: %w", err)
		}
		var r result
		if json.Unmarshal(data, &r) != nil {
			continue
		}
		for _, arg := range r.Args {
			if arg[0] != "K8S_POD_UID" {
				continue
			}
			var ips []corev1.PodIP
			for _, ip := range r.Result.IPs {
				ips = append(ips, corev1.PodIP{IP: ip.Address.Addr().String()})
			}
			addresses[types.UID(arg[1])] = ips
		}
	}
	return addresses, nil
}

// withAddresses returns the pods with the addresses that plugins gave them, which are ahead
// of those in status.
func withAddresses(pods []*corev1.Pod, given map[types.UID][]corev1.PodIP) []*corev1.Pod {
	merged := slices.Clone(pods)
	for i, pod := range merged {
		if ips, ok := given[pod.UID]; ok && !slices.Equal(ips, pod.Status.PodIPs) {
			merged[i] = pod.DeepCopy()
			merged[i].Status.PodIPs = ips
		}
	}
	return merged
}
