package cli

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// progress writes a line whenever something changed that a goal depends on.
type progress struct {
	*environment
	name  string
	goal  goal
	start time.Time
	// seen is what was written, or was in order at first sight, of each condition.
	seen map[string]string
	// looked says that there was a first sight.
	looked, deleting, told bool
	// phase and said are what was written of hibernation.
	phase teapotv1.HibernationPhase
	said  map[string]bool
}

func newProgress(e *environment, name string, g goal) *progress {
	return &progress{environment: e, name: name, goal: g, start: e.clock.Now(), seen: map[string]string{}}
}

func (p *progress) line(text string) {
	p.notef("%s: %s [%s]", p.name, text, p.clock.Since(p.start).Round(100*time.Millisecond))
}

// show writes what is new. At first sight what is in order already is not news.
func (p *progress) show(now *state, done bool) {
	if now == nil {
		return
	}
	first := !p.looked
	p.looked = true
	if now.GetDeletionTimestamp() != nil && !p.deleting {
		p.deleting = true
		p.line("is being deleted")
	}
	if first && !done && now.paused {
		p.line("is paused (spec.paused), so nothing will change")
	}
	if p.goal.phase != "" {
		p.showHibernation(now)
		return
	}
	if asleep := p.goal.needsAwake && !done && now.sleeps(); asleep && !p.told {
		p.line(now.sleepText(p.program))
	}
	p.told = now.sleeps()
	for i := range now.conditions {
		p.showCondition(&now.conditions[i], first)
	}
}

func (p *progress) showCondition(condition *metav1.Condition, first bool) {
	text := conditionText(condition)
	if p.seen[condition.Type] == text {
		return
	}
	p.seen[condition.Type] = text
	if quiet := asWanted(condition) || condition.Type == teapotv1.PausedCondition; !first || !quiet {
		p.line(text)
	}
}

// showHibernation writes the phase whenever it changes, and what the status says in sentences, each once
// in a phase. What the status said of an earlier spec is passed over.
func (p *progress) showHibernation(now *state) {
	status := now.hibernation
	if status == nil || now.observedGeneration < now.GetGeneration() {
		return
	}
	var text string
	if status.Phase != p.phase {
		p.phase, p.said, text = status.Phase, map[string]bool{}, string(status.Phase)+":"
	}
	for _, sentence := range sentences(status.Message) {
		if !p.said[sentence] {
			p.said[sentence] = true
			text += " " + sentence
		}
	}
	if text != "" {
		p.line(strings.TrimSuffix(strings.TrimSpace(text), ":"))
	}
	// What is awake may not be Ready yet.
	if ready := now.condition(teapotv1.ReadyCondition); ready != nil && status.Phase == teapotv1.HibernationAwake && p.goal.phase == status.Phase {
		p.showCondition(ready, len(p.seen) == 0)
	}
}

// sentences are those of a message, each with its full stop.
func sentences(message string) []string {
	var found []string
	for sentence := range strings.SplitAfterSeq(oneLine(message), ". ") {
		if sentence = strings.TrimSpace(sentence); sentence != "" {
			found = append(found, sentence)
		}
	}
	return found
}
