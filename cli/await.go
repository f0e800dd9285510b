package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// goal is what one waits for.
type goal struct {
	// wanted completes "waiting for X".
	wanted string
	// deletion says that the end of the object is the goal.
	deletion bool
	// reached looks at the control plane, nil if there is none. An error says that the
	// goal cannot be reached any more.
	reached func(*teapotv1.TenantControlPlane) (bool, error)
}

// readyGoal is reached when the control plane is Ready as it is specified now.
func readyGoal() goal { return conditionGoal(teapotv1.ReadyCondition, metav1.ConditionTrue) }

// conditionGoal is reached when a condition has a status, observed of the present spec.
func conditionGoal(conditionType string, status metav1.ConditionStatus) goal {
	wanted := fmt.Sprintf("condition %s to be %s", conditionType, status)
	return goal{wanted: wanted, reached: func(tcp *teapotv1.TenantControlPlane) (bool, error) {
		switch {
		case tcp == nil:
			return false, errors.New("it was deleted meanwhile")
		case tcp.DeletionTimestamp != nil:
			return false, errors.New("it is being deleted")
		}
		condition := findCondition(tcp, conditionType)
		return condition != nil && condition.Status == status && isCurrent(tcp, condition), nil
	}}
}

// findCondition finds a condition whatever case its type was typed in.
func findCondition(tcp *teapotv1.TenantControlPlane, conditionType string) *metav1.Condition {
	for i := range tcp.Status.Conditions {
		if strings.EqualFold(tcp.Status.Conditions[i].Type, conditionType) {
			return &tcp.Status.Conditions[i]
		}
	}
	return nil
}

// isCurrent says whether a condition speaks of the present spec and not of an earlier one.
func isCurrent(tcp *teapotv1.TenantControlPlane, condition *metav1.Condition) bool {
	return max(condition.ObservedGeneration, tcp.Status.ObservedGeneration) >= tcp.Generation
}

// deletedGoal is reached when the object with that UID is gone; a new one of the same
// name is another. An empty UID is any.
func deletedGoal(uid types.UID) goal {
	return goal{wanted: "it to be deleted", deletion: true, reached: func(tcp *teapotv1.TenantControlPlane) (bool, error) {
		return tcp == nil || uid != "" && tcp.UID != uid, nil
	}}
}

// await waits until the goal is reached and returns the control plane as it was then.
// What happens meanwhile is written to standard error, a line for each change. When ctx
// ends the error says what was waited for, and why it did not come.
func (e *environment) await(ctx context.Context, c client.WithWatch, key types.NamespacedName, g goal, timeout time.Duration) (*teapotv1.TenantControlPlane, error) {
	var last *teapotv1.TenantControlPlane
	progress := newProgress(e, key.Name)
	opts := []client.ListOption{client.InNamespace(key.Namespace), client.MatchingFields{metav1.ObjectNameField: key.Name}}
	err := follow(ctx, c, func() client.ObjectList { return &teapotv1.TenantControlPlaneList{} }, opts,
		func(objects map[string]client.Object) (bool, error) {
			last, _ = objects[key.Name].(*teapotv1.TenantControlPlane)
			done, err := g.reached(last)
			if err == nil {
				progress.show(last, done)
			}
			return done, err
		})
	switch {
	case err == nil:
		return last, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("timed out after %s waiting for %s %q in namespace %q: %s\n%s",
			timeout, controlPlaneWord, key.Name, key.Namespace, g.wanted, e.because(last))
	case errors.Is(err, context.Canceled):
		return nil, fmt.Errorf("interrupted while waiting for %s %q in namespace %q: %s", controlPlaneWord, key.Name, key.Namespace, g.wanted)
	default:
		return nil, fmt.Errorf("waiting for %s %q in namespace %q: %w", controlPlaneWord, key.Name, key.Namespace, err)
	}
}

// because says why a control plane is as it is: the conditions that are not True.
func (e *environment) because(tcp *teapotv1.TenantControlPlane) string {
	switch {
	case tcp == nil:
		return "the management cluster was not heard of"
	case tcp.Spec.Paused:
		return fmt.Sprintf(`spec.paused is true, so nothing is done about it; resume with: kubectl patch tcp %s -n %s --type merge -p '{"spec":{"paused":false}}'`, tcp.Name, tcp.Namespace)
	case len(tcp.Status.Conditions) == 0:
		return "it has no conditions yet: check that Teapot's manager runs (kubectl get pods -A -l app.kubernetes.io/name=teapot)"
	}
	var lines []string
	for i := range tcp.Status.Conditions {
		condition := &tcp.Status.Conditions[i]
		if !asWanted(condition) {
			lines = append(lines, "  "+conditionText(condition))
		}
	}
	switch {
	case len(lines) > 0:
		return strings.Join(lines, "\n")
	case tcp.DeletionTimestamp != nil:
		return "its finalizers are still there: " + strings.Join(tcp.Finalizers, ", ")
	case tcp.Status.ObservedGeneration < tcp.Generation:
		return "the last change of its spec was not taken note of yet: check that Teapot's manager runs (kubectl get pods -A -l app.kubernetes.io/name=teapot)"
	default:
		return "all its conditions are True"
	}
}

// asWanted says whether a condition speaks for a control plane that works. Most are True
// then; Paused and Stalled are not.
func asWanted(condition *metav1.Condition) bool {
	switch condition.Type {
	case teapotv1.PausedCondition, teapotv1.StalledCondition:
		return condition.Status != metav1.ConditionTrue
	default:
		return condition.Status == metav1.ConditionTrue
	}
}

// conditionText is a condition in one line.
func conditionText(condition *metav1.Condition) string {
	text := fmt.Sprintf("%s is %s", condition.Type, condition.Status)
	if condition.Reason != "" && condition.Reason != condition.Type {
		text += " (" + condition.Reason + ")"
	}
	if message := strings.Join(strings.Fields(condition.Message), " "); message != "" {
		text += ": " + message
	}
	return text
}

// progress writes a line whenever a condition changed.
type progress struct {
	*environment
	name     string
	start    time.Time
	seen     map[string]string
	deleting bool
}

func newProgress(e *environment, name string) *progress {
	return &progress{environment: e, name: name, start: e.clock.Now(), seen: map[string]string{}}
}

func (p *progress) line(text string) {
	p.notef("%s: %s [%s]", p.name, text, p.clock.Since(p.start).Round(100*time.Millisecond))
}

// show writes what is new. At first sight what is in order already is not news.
func (p *progress) show(tcp *teapotv1.TenantControlPlane, done bool) {
	if tcp == nil {
		return
	}
	first := len(p.seen) == 0
	if tcp.DeletionTimestamp != nil && !p.deleting {
		p.deleting = true
		p.line("is being deleted")
	}
	if first && !done && tcp.Spec.Paused {
		p.line("is paused (spec.paused), so nothing will change")
	}
	for i := range tcp.Status.Conditions {
		condition := &tcp.Status.Conditions[i]
		text := conditionText(condition)
		if p.seen[condition.Type] == text {
			continue
		}
		p.seen[condition.Type] = text
		if quiet := asWanted(condition) || condition.Type == teapotv1.PausedCondition; !first || !quiet {
			p.line(text)
		}
	}
}
