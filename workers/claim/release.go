package claim

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// release gives back a host that the claim holds, and ends, some time after since, one way or
// the other.
func (p *planner) release(since time.Time) {
	h := p.host
	deleting := !p.Claim.DeletionTimestamp.IsZero()
	p.bound()
	p.phase(teapotv1.ClaimReleasing)
	if h.InUse() {
		p.step(Deprovision, h.Key)
		return
	}
	done, waitsFor := h.Released()
	if done {
		p.step(Free, h.Key)
		p.tell(false, teapotv1.ReasonReleasing, "gave back host %s", h.Key)
		return
	}

	reason, message := teapotv1.ReasonReleasing, fmt.Sprintf("host %s is being given back: %s", h.Key, waitsFor)
	stuck := h.Stuck()
	switch {
	case stuck != "":
		reason, message = teapotv1.ReasonHostPaused, fmt.Sprintf("host %s cannot be given back: it is %s", h.Key, stuck)
	case h.Error != "" || h.ErrorKind != "":
		reason, message = teapotv1.ReasonCleaningFailed, fmt.Sprintf("host %s could not be cleaned: %s", h.Key, waitsFor)
	}
	p.notProvisioned(reason, message)
	p.notReady(reason, message)

	due := since.Add(ReleasePatience)
	switch {
	case p.Now.Before(due):
		p.lookAfter(due.Sub(p.Now))
		if reason == teapotv1.ReasonCleaningFailed {
			p.stall()
		}
	case deleting:
		p.step(LetGo, h.Key)
		p.tell(true, reason, "%s; after %s the claim goes, and the host stays held until it is clean", message, ReleasePatience)
	default:
		p.phase(teapotv1.ClaimFailed)
		p.stall()
	}
}

// goneFrom ends a claim that is being deleted and holds no host.
func (p *planner) goneFrom() {
	p.step(LetGo, types.NamespacedName{})
	known := p.Claim.Status.Host
	if p.Host == nil || p.host.Holder == nil || known == nil || known.Namespace != p.host.Key.Namespace || known.Name != p.host.Key.Name {
		return
	}
	p.tell(true, teapotv1.ReasonHostLost, "the claim goes without giving back a host: %s", p.whyNotHeld())
}
