package cli

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

// describedClaim is what "describe claim" shows of one claim.
type describedClaim struct {
	claim      teapotv1.MachineClaim
	program    string
	showEvents bool

	// candidates and choice are of a claim that looks for a host.
	candidates []candidate
	choice     claim.Choice
	events     []corev1.Event
	// What could not be read has an error.
	hostsErr, eventsErr error
}

// candidate is a host that the claim's namespace may take, and why the claim does not.
type candidate struct {
	host    host.Host
	refusal host.Refusal
}

// looksForHost says whether the claim has no host and wants one.
func (d *describedClaim) looksForHost() bool {
	return d.claim.DeletionTimestamp == nil && d.claim.Status.Host == nil && d.claim.Status.Phase != teapotv1.ClaimFailed
}

// text is the whole description.
func (d *describedClaim) text(now time.Time) string {
	age := inAges(now)
	w := &strings.Builder{}
	section := writeHead(w, d.facts(now), d.next())
	section("Asked for (spec)")
	writeSpec(w, &d.claim.Spec)
	section("Conditions")
	writeConditions(w, d.claim.Status.Conditions, age)
	if d.looksForHost() {
		section("Hosts that namespace " + d.claim.Namespace + " may claim")
		d.writeHosts(w)
	}
	if d.showEvents {
		section("Events of " + d.claim.Name)
		writeRows(w, eventRows(d.events, age), "list events", d.claim.Namespace, d.eventsErr)
	}
	return w.String()
}

// writeHosts says of each host why the claim does not take it.
func (d *describedClaim) writeHosts(w *strings.Builder) {
	switch {
	case d.hostsErr != nil:
		_, _ = fmt.Fprintf(w, "  not shown: %s\n", strings.ReplaceAll(style{width: messageWidth}.message(d.hostsErr.Error()), "\n", "\n  "))
		return
	case d.choice.Host != nil:
		_, _ = fmt.Fprintf(w, "  %s suffices, and is the next to be taken\n", d.choice.Host.Key)
	default:
		_, _ = fmt.Fprintf(w, "  %s\n", d.choice)
	}
	rows := [][]string{{"HOST", "STATE", "HARDWARE", "FAILURE DOMAIN", "NOT TAKEN BECAUSE"}}
	for i := range d.candidates {
		h := &d.candidates[i].host
		rows = append(rows, []string{h.Key.String(), dash(h.State), hardwareClass(h.Hardware()), dash(h.FailureDomain), dash(string(d.candidates[i].refusal))})
	}
	if len(rows) > 1 {
		writeTable(w, "  ", rows)
	}
}

// facts are what a glance is for.
func (d *describedClaim) facts(now time.Time) [][]string {
	c, status := &d.claim, &d.claim.Status
	rows := identity(&c.ObjectMeta, now)
	add := func(name, value string) { rows = append(rows, []string{name + ":", value}) }
	if owner := metav1.GetControllerOf(c); owner != nil {
		add("Made for", owner.Kind+" "+owner.Name)
	}
	if _, paused := c.Annotations["cluster.x-k8s.io/paused"]; paused {
		add("Paused", "yes (annotation cluster.x-k8s.io/paused): nothing is done about it")
	}
	add("Phase", d.phase(now))
	if limit := d.limit(now); limit != "" {
		add("Time limit", limit)
	}
	if status.Host == nil {
		add("Host", "none")
	} else {
		add("Host", fmt.Sprintf("%s/%s (%s)", status.Host.Namespace, status.Host.Name, dash(status.HostState)))
		add("Hardware", d.hardware())
		add("Failure domain", dash(status.FailureDomain))
		add("Power", d.power())
	}
	if failed := c.Annotations[teapotv1.FailedHostsAnnotation]; failed != "" {
		add("Tried before", fmt.Sprintf("%s (%d of at most %d)", strings.ReplaceAll(failed, ",", ", "), strings.Count(failed, ",")+1, claim.MaxAttempts))
	}
	add("Image", c.Spec.Image.URL)
	name := "Addresses:"
	for _, address := range status.Addresses {
		rows = append(rows, []string{name, fmt.Sprintf("%s (%s)", address.Address, address.Type)})
		name = ""
	}
	return rows
}

// phase is where the claim is in its life, and for how long.
func (d *describedClaim) phase(now time.Time) string {
	status := &d.claim.Status
	if status.Phase == "" {
		return "not looked at yet: check that Teapot's manager runs"
	}
	text := string(status.Phase)
	if status.PhaseSince != nil {
		text += ", for " + duration.HumanDuration(now.Sub(status.PhaseSince.Time))
	}
	return text
}

// limit is what happens when, if nothing comes of the phase.
func (d *describedClaim) limit(now time.Time) string {
	status := &d.claim.Status
	switch status.Phase {
	case teapotv1.ClaimBound, teapotv1.ClaimProvisioning:
		bound := meta.FindStatusCondition(status.Conditions, teapotv1.HostBoundCondition)
		timeout, err := time.ParseDuration(d.claim.Spec.ProvisioningTimeout)
		if bound == nil || err != nil {
			return ""
		}
		due := bound.LastTransitionTime.Add(timeout)
		return fmt.Sprintf("%s (%s): a host that does not run the image by then is given back", moment(metav1.NewTime(due)), from(now, due))
	case teapotv1.ClaimReleasing:
		since := status.PhaseSince
		if d.claim.DeletionTimestamp != nil {
			since = d.claim.DeletionTimestamp
		}
		if since == nil {
			return ""
		}
		due := since.Add(claim.ReleasePatience)
		return fmt.Sprintf("%s (%s): the claim then ends without the host, which stays held until it is clean", moment(metav1.NewTime(due)), from(now, due))
	default:
		return ""
	}
}

// from is a point in time as seen from now.
func from(now, then time.Time) string {
	if then.After(now) {
		return "in " + duration.HumanDuration(then.Sub(now))
	}
	return duration.HumanDuration(now.Sub(then)) + " ago"
}

func (d *describedClaim) hardware() string {
	hardware := d.claim.Status.Hardware
	if hardware == nil {
		return hardwareClass(nil)
	}
	return fmt.Sprintf("%s, %s, %s", hardwareClass(hardware), counted(hardware.Disks, "disk"), counted(hardware.NICs, "network interface"))
}

// counted is a number of things.
func counted(n int32, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

func (d *describedClaim) power() string {
	switch wanted := ptr.Deref(d.claim.Spec.PoweredOn, true); {
	case d.claim.Status.PoweredOn == wanted && wanted:
		return "on"
	case d.claim.Status.PoweredOn == wanted:
		return "off, as asked for"
	case wanted:
		return "off, though it should be on"
	default:
		return "on, though it should be off"
	}
}

// next is what to do, by the reason for which the claim is not Ready; empty: nothing.
func (d *describedClaim) next() string {
	ready := meta.FindStatusCondition(d.claim.Status.Conditions, teapotv1.ReadyCondition)
	if ready == nil || ready.Status == metav1.ConditionTrue {
		return ""
	}
	remedy := claimRemedies[ready.Reason]
	if remedy == "" {
		remedy = remedies[ready.Reason]
	}
	hostName, hostNamespace := "HOST", "ITS-NAMESPACE"
	if h := d.claim.Status.Host; h != nil {
		hostName, hostNamespace = h.Name, h.Namespace
	}
	return strings.NewReplacer("{teapot}", d.program, "{namespace}", d.claim.Namespace, "{name}", d.claim.Name,
		"{host}", hostName, "{hosts}", hostNamespace).Replace(remedy)
}
