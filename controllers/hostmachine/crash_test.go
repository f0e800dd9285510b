package hostmachine_test

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/faults"
)

// TestACrashAtAnyWriteChangesNothingInTheEnd fails each write of a manager, loses its answer, or
// ends the manager at it, from a machine's first write to its last.
func TestACrashAtAnyWriteChangesNothingInTheEnd(t *testing.T) {
	faults.AtEachWrite(t, "a machine's life", 7, live)
}

// live goes through a machine's life, with a fault at one write, and says whether it came to that.
func live(t *testing.T, what faults.Fault, at int) bool {
	t.Helper()
	p := byHand(t).begun(t)
	faulty := newHand(t, p, clock.RealClock{}, what, at)
	h := faulty
	ids := map[string]bool{}
	step := func(name string, done func() error) {
		t.Helper()
		for range 20 {
			h.settle(t)
			if h.Ended {
				h = newHand(t, p, clock.RealClock{}, "", 0)
				h.ids = faulty.ids
				continue
			}
			if err := done(); err == nil {
				return
			}
		}
		t.Fatalf("the manager %s at write %d of %q, and then %s did not come: %v", what, at, faulty.Asked, name, done())
	}
	claim := &teapotv1.MachineClaim{}
	step("the claim", func() error {
		if err := direct.Get(t.Context(), p.key(), claim); err != nil {
			return err
		}
		ids[p.read(t).Spec.ProviderID] = true
		return told(t, p)
	})
	provision(t, claim)
	step("Ready", func() error {
		ids[p.read(t).Spec.ProviderID] = true
		if !ptr.Deref(p.hm.Status.Initialization.Provisioned, false) || p.hm.Status.Host == nil || p.hm.Annotations[blockMove] != "" {
			return fmt.Errorf("it is %+v", p.hm)
		}
		return say(p.hm.Status.Conditions, teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady)
	})
	if len(ids) != 1 {
		t.Errorf("the manager %s at write %d: the machine had the ids %v", what, at, ids)
	}
	must(t, direct.Delete(t.Context(), p.hm))
	step("the release", func() error { return deleting(t, claim) })
	if err := direct.Get(t.Context(), p.key(), p.hm); err != nil {
		t.Errorf("the manager %s at write %d: the machine did not wait for its claim: %v", what, at, err)
	}
	release(t, claim)
	step("the end", func() error {
		err := direct.Get(t.Context(), p.key(), p.hm)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, errors.New("it is still there"))
	})
	if err := direct.Get(t.Context(), p.key(), claim); !apierrors.IsNotFound(err) {
		t.Errorf("the manager %s at write %d: another claim was made (%v)", what, at, err)
	}
	return len(faulty.Asked) >= at
}

// told checks that what the machine is told is what Cluster API looks for.
func told(t *testing.T, p *play) error {
	t.Helper()
	secret := &corev1.Secret{}
	if err := direct.Get(t.Context(), types.NamespacedName{Namespace: p.hm.Namespace, Name: "worker-1-metadata"}, secret); err != nil {
		t.Errorf("there is a claim without meta data: %v", err)
		return err
	}
	data := map[string]string{}
	must(t, yaml.Unmarshal(secret.Data["metaData"], &data))
	if data["provider_id"] == "" || data["provider_id"] != p.hm.Spec.ProviderID {
		t.Errorf("the machine is told %q, and is %q", data["provider_id"], p.hm.Spec.ProviderID)
	}
	return nil
}
