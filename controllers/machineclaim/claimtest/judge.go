package claimtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/workers/host"
)

// ImageOf is the image that a claim asks for in a test: it names the claim, so that a host's
// image says who asked for it.
func ImageOf(claim types.NamespacedName) string {
	return "https://images.example.com/" + claim.String()
}

// Rule says what is wrong with all hosts as they are at one revision.
type Rule func(map[types.NamespacedName]*host.Object) []string

// AtMost is the rule that no more than so many claims of a group hold hosts with the same value of a
// label. Which group a claim is of is told by its name; none: it is empty.
func AtMost(limit int, label string, groupOf func(claim types.NamespacedName) string) Rule {
	return func(hosts map[types.NamespacedName]*host.Object) []string {
		type domain struct{ group, value string }
		held := map[domain][]string{}
		for _, o := range hosts {
			ref := o.Spec.ConsumerRef
			if ref == nil {
				continue
			}
			if group := groupOf(types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}); group != "" {
				in := domain{group, o.Labels[label]}
				held[in] = append(held[in], fmt.Sprintf("%s by %s", o.Name, ref.Name))
			}
		}
		var wrong []string
		for in, by := range held {
			if len(by) > limit {
				wrong = append(wrong, fmt.Sprintf("group %s holds %d hosts with %s=%q, at most %d are allowed: %v", in.group, len(by), label, in.value, limit, by))
			}
		}
		return wrong
	}
}

// Judge watches every revision of every host of a namespace, by itself, and says what must not
// be. The API server sends each revision once and in order.
type Judge struct {
	rules []Rule

	mu         sync.Mutex
	last       map[types.NamespacedName]*host.Object
	violations []string
	holds      int
	ended      error
}

// NewJudge begins to watch, for what no host may do and for what rules say of them together. The
// watch ends with the context.
func NewJudge(ctx context.Context, c client.WithWatch, namespace string, rules ...Rule) (*Judge, error) {
	list := &host.List{}
	if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	j := &Judge{rules: rules, last: map[types.NamespacedName]*host.Object{}}
	for i := range list.Items {
		j.last[client.ObjectKeyFromObject(&list.Items[i])] = &list.Items[i]
	}
	changes, err := c.Watch(ctx, &host.List{}, client.InNamespace(namespace), &client.ListOptions{Raw: from(list.ResourceVersion)})
	if err != nil {
		return nil, err
	}
	go j.follow(ctx, changes)
	return j, nil
}

func (j *Judge) follow(ctx context.Context, changes watch.Interface) {
	defer changes.Stop()
	for event := range changes.ResultChan() {
		o, ok := event.Object.(*host.Object)
		j.mu.Lock()
		switch {
		case !ok:
			j.ended = fmt.Errorf("the watch of hosts says %s: %v", event.Type, event.Object)
		case event.Type == watch.Deleted:
			delete(j.last, client.ObjectKeyFromObject(o))
		default:
			name := client.ObjectKeyFromObject(o)
			before := j.last[name]
			if o.Spec.ConsumerRef != nil && (before == nil || before.Spec.ConsumerRef == nil) {
				j.holds++
			}
			j.last[name] = o
			wrong := judge(before, o)
			for _, rule := range j.rules {
				wrong = append(wrong, rule(j.last)...)
			}
			for _, violation := range wrong {
				j.violations = append(j.violations, fmt.Sprintf("host %s at revision %s: %s", name, o.ResourceVersion, violation))
			}
		}
		j.mu.Unlock()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if ctx.Err() == nil && j.ended == nil {
		j.ended = fmt.Errorf("the watch of hosts ended, and with it the sight of their revisions")
	}
}

// judge compares a host's revision with the one before.
func judge(before, after *host.Object) []string {
	var wrong []string
	h := host.Of(after)
	var was host.Host
	if before != nil {
		was = host.Of(before)
	}
	holder, held := h.ClaimOf()
	if was.Holder != nil && h.Holder != nil && *was.Holder != *h.Holder {
		wrong = append(wrong, fmt.Sprintf("consumerRef went from claim %s/%s (%s) directly to %s (%s)", was.Holder.Namespace, was.Holder.Name, was.Holder.UID, holder, h.Holder.UID))
	}
	if h.Asked != "" && h.Asked != was.Asked && (!held || h.Asked != ImageOf(holder)) {
		wrong = append(wrong, fmt.Sprintf("image %s was set while consumerRef names %q", strings.TrimPrefix(h.Asked, ImageOf(types.NamespacedName{})), holder))
	}
	if was.Holder != nil && h.Holder == nil && (h.Asked != "" || h.Written != "" || h.State != string(metal3v1.StateAvailable)) {
		wrong = append(wrong, fmt.Sprintf("consumerRef was cleared while the host is %s with image %q", h.State, h.Asked))
	}
	return wrong
}

// Verdict returns what was wrong so far, how often hosts were taken, and an error if not every
// revision was seen.
func (j *Judge) Verdict() (violations []string, holds int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.violations), j.holds, j.ended
}

func from(resourceVersion string) *metav1.ListOptions {
	return &metav1.ListOptions{ResourceVersion: resourceVersion}
}
