package netpolicy

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestReadResults(t *testing.T) {
	dir := t.TempDir()
	for i, f := range []struct{ name, content string }{
		{"mine-1-eth0", `{"cniArgs":[["K8S_POD_NAME","a"],["K8S_POD_UID","uid-a"]],"result":{"ips":[{"address":"10.129.0.2/16"},{"address":"fd00::2/64"}]}}`},
		{"mine-9-eth0", `{"cniArgs":[["K8S_POD_UID","uid-b"]],"result":{"ips":[{"address":"10.129.0.3/16"}]}}`},
		// A later sandbox of the same pod.
		{"mine-2-eth0", `{"cniArgs":[["K8S_POD_UID","uid-b"]],"result":{"ips":[{"address":"10.129.0.4/16"}]}}`},
		{"mine-3-eth0", `{"cniArgs":[["K8S_POD_UID","uid-c"]],"res`},
		{"other-1-eth0", `{"cniArgs":[["K8S_POD_UID","uid-d"]],"result":{"ips":[{"address":"10.129.0.5/16"}]}}`},
	} {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, []byte(f.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Unix(int64(i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readResults(dir, "mine")
	if err != nil {
		t.Fatal(err)
	}
	want := map[types.UID][]corev1.PodIP{
		"uid-a": {{IP: "10.129.0.2"}, {IP: "fd00::2"}},
		"uid-b": {{IP: "10.129.0.4"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestPluginsAreAheadOfStatus(t *testing.T) {
	starting, moved, silent := fresh.DeepCopy(), web.DeepCopy(), db.DeepCopy()
	starting.UID, moved.UID, silent.UID = "starting", "moved", "silent"
	pods := []*corev1.Pod{starting, moved, silent}
	merged := withAddresses(pods, map[types.UID][]corev1.PodIP{
		"starting": {{IP: "10.129.0.7"}}, "moved": {{IP: "10.129.0.8"}}, "gone": {{IP: "10.129.0.9"}},
	})
	var got []string
	for _, pod := range merged {
		got = append(got, pod.Name+" "+pod.Status.PodIPs[0].IP)
	}
	if diff := cmp.Diff([]string{"fresh 10.129.0.7", "web 10.129.0.8", "db 10.129.0.3"}, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	if len(starting.Status.PodIPs) != 0 || moved.Status.PodIPs[0].IP != "10.129.0.2" {
		t.Error("the informer's own objects were changed")
	}
}
