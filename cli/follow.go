package cli

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// followBackoff spaces out attempts to list again after a failure.
var followBackoff = wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 5, Cap: 5 * time.Second}

// found are objects by their names.
type found map[types.NamespacedName]client.Object

// follow lists and then watches, and calls visit with all that there is after the list and
// after every change, until visit says that it is done, or fails, or ctx ends.
//
// It fails if the first list does; later failures are passed by, since an API server
// that is restarted comes back.
func follow(ctx context.Context, c client.WithWatch, newList func() client.ObjectList, opts []client.ListOption, visit func(found) (done bool, err error)) error {
	backoff := followBackoff
	for first := true; ; first = false {
		done, err := followOnce(ctx, c, newList(), opts, visit)
		var seen seenError
		switch {
		case done:
			return nil
		case errors.As(err, &seen):
			return seen.error
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && first:
			return err
		case err == nil:
			backoff = followBackoff
		}
		// A server that closes a watch at once must not be asked in a tight loop either.
		select {
		case <-ctx.Done():
		case <-time.After(backoff.Step()):
		}
	}
}

// seenError is an error of visit, which ends following.
type seenError struct{ error }

// followOnce is one list and one watch. Without an error and not done, the watch ended.
func followOnce(ctx context.Context, c client.WithWatch, list client.ObjectList, opts []client.ListOption, visit func(found) (bool, error)) (bool, error) {
	if err := c.List(ctx, list, opts...); err != nil {
		return false, err
	}
	objects := found{}
	if err := meta.EachListItem(list, func(item runtime.Object) error {
		object := item.(client.Object)
		objects[client.ObjectKeyFromObject(object)] = object
		return nil
	}); err != nil {
		return false, err
	}
	tell := func() (bool, error) {
		done, err := visit(objects)
		if err != nil {
			err = seenError{err}
		}
		return done, err
	}
	if done, err := tell(); done || err != nil {
		return done, err
	}

	from := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}}
	watcher, err := c.Watch(ctx, list, append([]client.ListOption{from}, opts...)...)
	if err != nil {
		return false, err
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		object, ok := event.Object.(client.Object)
		if !ok {
			// An error, most often "resource version too old": list again.
			return false, nil
		}
		switch event.Type {
		case watch.Added, watch.Modified:
			objects[client.ObjectKeyFromObject(object)] = object
		case watch.Deleted:
			delete(objects, client.ObjectKeyFromObject(object))
		default:
			continue
		}
		if done, err := tell(); done || err != nil {
			return done, err
		}
	}
	return false, nil
}
