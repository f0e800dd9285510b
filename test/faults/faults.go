// Package faults watches what a manager writes (Requests), and has its client suffer at its Nth
// write, so that a test can try every N (Writes):
//
//	writes := &faults.Writes{At: n, Fault: faults.Lost}
//	reconciler.Client = interceptor.NewClient(live, writes.Funcs())
//
// It counts what is asked for, so an undisturbed run tells how many N there are.
package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// Fault is what happens at a write.
type Fault string

const (
	// Fails: the write is refused once, and the manager goes on.
	Fails Fault = "fails"
	// Lost: the write is done and its answer lost, and the manager goes on.
	Lost Fault = "answer lost"
	// Ends: the write and all after it are not done; another manager takes over.
	Ends Fault = "ends"
)

// Writes counts a client's writes and has one of them go wrong. Its fields may be read and set
// while nothing is being written.
type Writes struct {
	// Asked are the writes as they were asked for, "patch Secret name"; Kinds are the same without
	// the names, and Done those that the API server took.
	Asked, Kinds, Done []string
	// At is the write that suffers Fault, counted from 1; 0: none does.
	At    int
	Fault Fault
	// Ended says that the manager has ended.
	Ended bool

	mu sync.Mutex
}

// Funcs intercept every way to write. The caller may add ways to read.
func (w *Writes) Funcs() interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			return w.write(c, "create", object, func() error { return c.Create(ctx, object, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			return w.write(c, "delete", object, func() error { return c.Delete(ctx, object, options...) })
		},
		DeleteAllOf: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteAllOfOption) error {
			return w.write(c, "delete all", object, func() error { return c.DeleteAllOf(ctx, object, options...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			return w.write(c, "update", object, func() error { return c.Update(ctx, object, options...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			return w.write(c, "patch", object, func() error { return c.Patch(ctx, object, patch, options...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			what, name := "apply", ""
			if described, ok := object.(interface {
				GetKind() string
				GetName() string
			}); ok {
				what, name = "apply "+described.GetKind(), described.GetName()
			}
			return w.count(what, name, func() error { return c.Apply(ctx, object, options...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			return w.write(c, "patch "+sub+" of", object, func() error { return c.SubResource(sub).Patch(ctx, object, patch, options...) })
		},
	}
}

func (w *Writes) write(c client.Client, verb string, object runtime.Object, do func() error) error {
	kind, err := apiutil.GVKForObject(object, c.Scheme())
	if err != nil {
		return err
	}
	name := ""
	if accessor, err := meta.Accessor(object); err == nil {
		name = accessor.GetName()
	}
	return w.count(verb+" "+kind.Kind, name, do)
}

func (w *Writes) count(what, name string, do func() error) error {
	w.mu.Lock()
	w.Kinds = append(w.Kinds, what)
	if name != "" {
		what += " " + name
	}
	w.Asked = append(w.Asked, what)
	n := len(w.Asked)
	hit := w.At > 0 && (n == w.At || n > w.At && w.Fault == Ends)
	if hit {
		w.Ended = w.Fault == Ends
	}
	w.mu.Unlock()
	carryOut := func() error {
		err := do()
		if err == nil {
			w.mu.Lock()
			w.Done = append(w.Done, what)
			w.mu.Unlock()
		}
		return err
	}
	switch {
	case !hit:
		return carryOut()
	case w.Fault == Lost:
		return errors.Join(carryOut(), fmt.Errorf("the answer to write %d (%s) is lost", n, what))
	default:
		return fmt.Errorf("write %d (%s) is not done", n, what)
	}
}
