package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// hibernation is whether the control plane sleeps, why, and what changes that; nothing of one that was
// never asked to.
func (d *described) hibernation(now time.Time) [][]string {
	spec, status := d.tcp.Spec.Hibernation, d.tcp.Status.Hibernation
	if status == nil || spec == nil && status.Phase == teapotv1.HibernationAwake {
		return nil
	}
	var rows [][]string
	add := func(name string, lines ...string) {
		var wrapped []string
		for _, line := range lines {
			wrapped = append(wrapped, style{width: messageWidth}.message(line))
		}
		rows = append(rows, []string{name + ":", strings.Join(wrapped, "\n")})
	}
	state := string(status.Phase)
	if status.Since != nil {
		state += fmt.Sprintf(" since %s (%s)", moment(*status.Since), duration.HumanDuration(now.Sub(status.Since.Time)))
	}
	add("State", state)
	add("Reason", status.Reason)
	add("Message", status.Message)
	if len(status.AwakeBecause) > 0 {
		add("Does not sleep because", status.AwakeBecause...)
	}
	switch next := status.NextChange; {
	case next != nil:
		add("Next scheduled change", fmt.Sprintf("%s at %s (in %s)", next.Phase, moment(next.Time), duration.HumanDuration(next.Time.Sub(now))))
	case spec != nil && len(spec.Schedules) > 0 && ptr.Deref(spec.Enabled, false):
		add("Next scheduled change", "none while spec.hibernation.enabled is true")
	}
	wakers := []string{wakeCommand(d.program, d.tcp.Namespace, d.tcp.Name)}
	if why := noRequestWakes(&d.tcp); why == "" {
		wakers = append(wakers, "a user's request, through the gateway")
	} else {
		wakers = append(wakers, "no user's request, since "+why)
	}
	add("Woken by", wakers...)
	if spec != nil {
		add("Machines meanwhile", map[teapotv1.HibernatedWorkers]string{
			teapotv1.HibernatedWorkersRelease:  "given back, and made anew afterwards",
			teapotv1.HibernatedWorkersPowerOff: "switched off, and kept",
			teapotv1.HibernatedWorkersKeep:     "run on",
		}[cmp.Or(spec.Workers, teapotv1.HibernatedWorkersRelease)])
	}
	return rows
}
