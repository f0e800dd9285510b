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

// state is what waiting looks at of an object.
type state struct {
	client.Object
	paused             bool
	observedGeneration int64
	conditions         []metav1.Condition
	// controlPlane is the name of the control plane that it is, or is of.
	controlPlane string
	// hibernation is nil for all but control planes, and for those whose status says nothing of it.
	hibernation *teapotv1.HibernationStatus
}

// stateOf is what waiting looks at of an object; nil if there is none.
func stateOf(object client.Object) *state {
	switch o := object.(type) {
	case *teapotv1.TenantControlPlane:
		return &state{o, o.Spec.Paused, o.Status.ObservedGeneration, o.Status.Conditions, o.Name, o.Status.Hibernation}
	case *teapotv1.WorkerPool:
		return &state{o, o.Spec.Paused, o.Status.ObservedGeneration, o.Status.Conditions, o.Spec.ControlPlaneName, nil}
	default:
		return nil
	}
}

// goal is what one waits for.
type goal struct {
	// wanted completes "waiting for X".
	wanted string
	// deletion says that the end of the object is the goal.
	deletion bool
	// phase, unless empty, is the phase of hibernation that is the goal: then what is told on the way is
	// what status.hibernation says, and not all conditions.
	phase teapotv1.HibernationPhase
	// needsAwake says that what sleeps does not get there by itself.
	needsAwake bool
	// reached looks at the object, nil if there is none. An error says that the goal cannot
	// be reached any more.
	reached func(*state) (bool, error)
}

// readyGoal is reached when the object is Ready as it is specified now.
func readyGoal() goal { return conditionGoal(teapotv1.ReadyCondition, metav1.ConditionTrue) }

// conditionGoal is reached when a condition has a status, observed of the present spec.
func conditionGoal(conditionType string, status metav1.ConditionStatus) goal {
	wanted := fmt.Sprintf("condition %s to be %s", conditionType, status)
	needsAwake := status == metav1.ConditionTrue && !strings.EqualFold(conditionType, teapotv1.HibernatedCondition)
	return goal{wanted: wanted, needsAwake: needsAwake, reached: func(now *state) (bool, error) {
		if err := going(now); err != nil {
			return false, err
		}
		condition := now.condition(conditionType)
		return condition != nil && condition.Status == status && now.isCurrent(condition), nil
	}}
}

// going is the error of a goal that an object cannot reach any more, since it is gone or goes.
func going(now *state) error {
	switch {
	case now == nil:
		return errors.New("it was deleted meanwhile")
	case now.GetDeletionTimestamp() != nil:
		return errors.New("it is being deleted")
	}
	return nil
}

// condition finds a condition whatever case its type was typed in.
func (s *state) condition(conditionType string) *metav1.Condition {
	for i := range s.conditions {
		if strings.EqualFold(s.conditions[i].Type, conditionType) {
			return &s.conditions[i]
		}
	}
	return nil
}

// isCurrent says whether a condition speaks of the present spec and not of an earlier one.
func (s *state) isCurrent(condition *metav1.Condition) bool {
	return max(condition.ObservedGeneration, s.observedGeneration) >= s.GetGeneration()
}

// deletedGoal is reached when the object with that UID is gone; a new one of the same
// name is another. An empty UID is any.
func deletedGoal(uid types.UID) goal {
	return goal{wanted: "it to be deleted", deletion: true, reached: func(now *state) (bool, error) {
		return now == nil || uid != "" && now.GetUID() != uid, nil
	}}
}

// await waits until the goal is reached and returns the object as it was then. What happens
// meanwhile is written to standard error, a line for each change. When ctx ends the error says
// what was waited for, and why it did not come.
func (e *environment) await(ctx context.Context, c client.WithWatch, s subject, key types.NamespacedName, g goal, timeout time.Duration) (client.Object, error) {
	var last client.Object
	progress := newProgress(e, key.Name, g)
	opts := []client.ListOption{client.InNamespace(key.Namespace), client.MatchingFields{metav1.ObjectNameField: key.Name}}
	err := follow(ctx, c, s.newList, opts, func(objects found) (bool, error) {
		last = objects[key]
		done, err := g.reached(stateOf(last))
		if err == nil {
			progress.show(stateOf(last), done)
		}
		return done, err
	})
	switch {
	case err == nil:
		return last, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("timed out after %s waiting for %s %q in namespace %q: %s\n%s",
			timeout, s.word, key.Name, key.Namespace, g.wanted, e.because(s, stateOf(last), g))
	case errors.Is(err, context.Canceled):
		return nil, fmt.Errorf("interrupted while waiting for %s %q in namespace %q: %s", s.word, key.Name, key.Namespace, g.wanted)
	default:
		return nil, fmt.Errorf("waiting for %s %q in namespace %q: %w", s.word, key.Name, key.Namespace, err)
	}
}

// because says why an object has not reached a goal: it sleeps, or the conditions that are not as wanted.
func (e *environment) because(s subject, now *state, g goal) string {
	const manager = "check that Teapot's manager runs (kubectl get pods -A -l app.kubernetes.io/name=teapot)"
	switch {
	case now == nil:
		return "the management cluster was not heard of"
	case now.paused:
		return fmt.Sprintf(`spec.paused is true, so nothing is done about it; resume with: kubectl patch %s %s -n %s --type merge -p '{"spec":{"paused":false}}'`, s.short, now.GetName(), now.GetNamespace())
	case len(now.conditions) == 0:
		return "it has no conditions yet: " + manager
	case g.phase != "" && now.hibernation == nil:
		return "its status says nothing of hibernation yet: " + manager
	case g.phase != "" && now.hibernation.Phase != g.phase:
		return fmt.Sprintf("it is %s: %s", now.hibernation.Phase, oneLine(now.hibernation.Message))
	case g.needsAwake && now.sleeps():
		return "it " + now.sleepText(e.program)
	}
	var lines []string
	for i := range now.conditions {
		condition := &now.conditions[i]
		if !asWanted(condition) {
			lines = append(lines, "  "+conditionText(condition))
		}
	}
	switch {
	case len(lines) > 0:
		return strings.Join(lines, "\n")
	case now.GetDeletionTimestamp() != nil:
		return "its finalizers are still there: " + strings.Join(now.GetFinalizers(), ", ")
	case now.observedGeneration < now.GetGeneration():
		return "the last change of its spec was not taken note of yet: " + manager
	default:
		return "all its conditions are True"
	}
}

// asWanted says whether a condition speaks for an object that works. Most are True
// then; Paused and Stalled are not, and Hibernated may be either.
func asWanted(condition *metav1.Condition) bool {
	switch condition.Type {
	case teapotv1.HibernatedCondition:
		return condition.Status == metav1.ConditionTrue || condition.Reason == teapotv1.ReasonAwake
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
	if message := oneLine(condition.Message); message != "" {
		text += ": " + message
	}
	return text
}

// oneLine is a text without line breaks.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
