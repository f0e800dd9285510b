package tenant

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// atOnce is how many calls of an effort are under way at a time.
	atOnce = 16
	// slowCall is from when on a call that fails is held against those that follow, and
	// slowCalls is how many of them are enough in one namespace not to try the others.
	slowCall  = time.Second
	slowCalls = 3
)

// Why something was not tried.
var (
	errNoTime = errors.New("there was no time left")
	errSlow   = errors.New("not tried, since calls in the same namespace took too long: a webhook may hang")
)

// object is one of those that an effort is made for. The namespace of a Node is empty.
type object struct {
	types.NamespacedName
	uid types.UID
	// ready says of a pod that it has to be marked if it stays, and counts that its Job counts
	// how it ends.
	ready, counts bool
}

// effort is one kind of change, made to many objects. What resists is counted and passed.
type effort struct {
	clock clock.PassiveClock
	// failure says what it means that the change was not made, for example "pods were not deleted".
	failure string

	mu    sync.Mutex
	tried int
	left  []object
	slow  map[string]int // by namespace
	// example is the one of left whose name is first, so that the same failures have the same
	// words, and because is why.
	example, because string
	// lost says that there was no API server that could refuse.
	lost bool
}

// makeFor makes the change to all objects and returns those that it could not be made to. One
// that is not there any more, or has a successor with another UID, needs none.
func (e *effort) makeFor(ctx context.Context, objects []object, change func(context.Context, object) error) (left []object) {
	var calls errgroup.Group
	calls.SetLimit(atOnce)
	for _, each := range objects {
		calls.Go(func() error {
			err := e.attempt(ctx, each, change)
			e.note(each, err)
			return nil // what fails is counted
		})
	}
	_ = calls.Wait()
	return e.left
}

// attempt makes one change, within callTimeout.
func (e *effort) attempt(ctx context.Context, to object, change func(context.Context, object) error) error {
	if ctx.Err() != nil {
		return errNoTime
	}
	e.mu.Lock()
	slow := e.slow[to.Namespace] >= slowCalls
	e.mu.Unlock()
	if slow {
		return errSlow
	}
	began := e.clock.Now()
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := change(callCtx, to)
	if err != nil && e.clock.Since(began) >= slowCall {
		e.mu.Lock()
		e.slow[to.Namespace]++
		e.mu.Unlock()
	}
	return err
}

func (e *effort) note(of object, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tried++
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return
	}
	e.left = append(e.left, of)
	e.lost = e.lost || !answered(err)
	tried := !errors.Is(err, errSlow) && !errors.Is(err, errNoTime)
	if name := qualifiedName(of.NamespacedName); e.because == "" || tried && name < e.example {
		e.example, e.because = name, reason(err)
	}
}

// reason is an error in words that are the same for every address and object.
func reason(err error) string {
	var request *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s; an admission webhook may hang", callTimeout)
	case errors.As(err, &request):
		return request.Err.Error()
	}
	return err.Error()
}

// answered says whether an error is what the API server said, or did not say in time, rather than that
// there was none.
func answered(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errSlow) || errors.Is(err, errNoTime)
}

// problem says what was not done; empty if all was.
func (e *effort) problem() string {
	if len(e.left) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d %s, for example %s: %s", len(e.left), e.tried, e.failure, e.example, e.because)
}

func qualifiedName(name types.NamespacedName) string {
	if name.Namespace == "" {
		return name.Name
	}
	return name.String()
}
