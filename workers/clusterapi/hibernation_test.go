package clusterapi

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// TestPaused: a Cluster that is paused since its control plane sleeps is so for Cluster API alone.
func TestPaused(t *testing.T) {
	cluster := func(paused bool, hibernation ...string) *clusterv1.Cluster {
		c := &clusterv1.Cluster{Spec: clusterv1.ClusterSpec{Paused: ptr.To(paused)}}
		for _, value := range hibernation {
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, teapotv1.HibernationAnnotation, value)
		}
		return c
	}
	for name, test := range map[string]struct {
		cluster   *clusterv1.Cluster
		annotated bool
		paused    bool
		mode      teapotv1.HibernatedWorkers
		asleep    bool
	}{
		"no Cluster":                        {},
		"no Cluster, and paused by itself":  {annotated: true, paused: true},
		"awake":                             {cluster: cluster(false)},
		"awake, and paused by itself":       {cluster: cluster(false), annotated: true, paused: true},
		"paused":                            {cluster: cluster(true), paused: true},
		"asleep":                            {cluster: cluster(true, "Release"), mode: "Release", asleep: true},
		"on its way to sleep":               {cluster: cluster(false, "PowerOff"), mode: "PowerOff", asleep: true},
		"on its way back":                   {cluster: cluster(true, "Waking"), mode: Waking, asleep: true},
		"asleep, and paused by itself":      {cluster: cluster(true, "Keep"), annotated: true, paused: true, mode: "Keep", asleep: true},
		"asleep in a way that is not known": {cluster: cluster(true, "Explode"), mode: "Keep", asleep: true},
		"asleep in no way":                  {cluster: cluster(true, ""), mode: "Keep", asleep: true},
	} {
		t.Run(name, func(t *testing.T) {
			object := &clusterv1.Machine{}
			if test.annotated {
				metav1.SetMetaDataAnnotation(&object.ObjectMeta, clusterv1.PausedAnnotation, "")
			}
			if got := Paused(test.cluster, object); got != test.paused {
				t.Errorf("paused: %t", got)
			}
			if mode, asleep := Hibernating(test.cluster); mode != test.mode || asleep != test.asleep {
				t.Errorf("it sleeps: %t, %q", asleep, mode)
			}
		})
	}
}
