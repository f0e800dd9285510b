package pool

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

func TestSkew(t *testing.T) {
	for name, test := range map[string]struct {
		machines, spec, runs string
		says                 string // "" if they may join
		stalled              bool
	}{
		"the same":                                {machines: "v1.36.3", spec: "v1.36.3", runs: "v1.36.3"},
		"the same, of one that does not run yet":  {machines: "v1.36.3", spec: "v1.36.3"},
		"an older patch":                          {machines: "v1.36.1", spec: "v1.36.3", runs: "v1.36.3"},
		"three minor versions older":              {machines: "v1.33.9", spec: "v1.36.0", runs: "v1.36.0"},
		"four minor versions older":               {machines: "v1.32.9", spec: "v1.36.0", runs: "v1.36.0", says: "at least v1.33.0", stalled: true},
		"a newer patch":                           {machines: "v1.36.4", spec: "v1.36.3", runs: "v1.36.3", says: "upgrade the control plane first", stalled: true},
		"a newer minor version":                   {machines: "v1.37.0", spec: "v1.36.3", runs: "v1.36.3", says: "upgrade the control plane first", stalled: true},
		"what the control plane is upgraded to":   {machines: "v1.37.0", spec: "v1.37.0", runs: "v1.36.3", says: "still runs v1.36.3"},
		"in the middle of that, what it was":      {machines: "v1.36.3", spec: "v1.37.0", runs: "v1.36.3"},
		"too old for what it is upgraded to":      {machines: "v1.33.0", spec: "v1.37.0", runs: "v1.36.3", says: "at least v1.34.0", stalled: true},
		"in the middle of a downgrade, the newer": {machines: "v1.36.4", spec: "v1.36.3", runs: "v1.36.4", says: "newer than the v1.36.3", stalled: true},
		"no version at all":                       {machines: "latest", spec: "v1.36.3", says: "no version", stalled: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := Skew(test.machines, &teapotv1.TenantControlPlane{
				ObjectMeta: metav1.ObjectMeta{Name: "prod"},
				Spec:       teapotv1.TenantControlPlaneSpec{Version: test.spec},
				Status:     teapotv1.TenantControlPlaneStatus{Version: test.runs},
			})
			switch {
			case test.says == "" && got != nil:
				t.Errorf("refused: %+v", got)
			case test.says != "" && (got == nil || !strings.Contains(got.Message, test.says) || got.Stalled != test.stalled || got.Reason != teapotv1.ReasonVersionSkew):
				t.Errorf("got %+v, want %q, stalled %v", got, test.says, test.stalled)
			}
		})
	}
}
