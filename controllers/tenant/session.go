package tenant

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// How often a tenant is asked. Ready is withdrawn within ten seconds: steadyInterval,
// askTimeout and pingTimeout may all pass before a loss is known, and the rest is for the
// reconcile. eagerInterval makes a start or a return seen at once, and its slower
// successors spare tenants that stay away.
const (
	steadyInterval = 4 * time.Second
	eagerInterval  = 200 * time.Millisecond
	eagerFor       = 30 * time.Second
	calmInterval   = time.Second
	calmFor        = 5 * time.Minute
	slowInterval   = 4 * time.Second
)

// Observation is what a session knows of its tenant.
type Observation struct {
	// Asked says whether the API server was asked at all since the session began.
	Asked bool
	// Answered says whether the last authenticated request was answered.
	Answered bool
	// DatastoreDown says that the API server is alive but the request, which reads
	// through etcd, was not answered.
	DatastoreDown bool
	// Refused says that the API server answered, and that it does not take Teapot for who it is.
	Refused bool
	// Error is why the last request was not answered.
	Error string
	// Machines says whether the tenant has at least one Node.
	Machines bool
	// Applied is the Hash of the last Content that was applied, and ApplyError why the
	// newest could not be.
	Applied    string
	ApplyError string
	// Drifts counts how often an object inside was found changed or gone: the content is
	// wanted again. Repairs counts what was put right; TakeRepairs refers to it.
	Drifts  int
	Repairs int
}

// Session is one tenant's client.
type Session struct {
	owner  types.NamespacedName
	access Access
	clock  clock.WithTicker
	notify func(context.Context, types.NamespacedName)
	pacer  *pacer
	conn   *connection

	cancel context.CancelFunc
	wake   chan struct{}

	mu          sync.Mutex
	content     *Content
	observation Observation
	drift       drift
	removals    map[string]*removal // of bootstrap tokens, by Secret
	chores      chores
}

func newSession(owner types.NamespacedName, access Access, c clock.WithTicker, p *pacer, notify func(context.Context, types.NamespacedName)) (*Session, error) {
	conn, err := connect(access)
	if err != nil {
		return nil, err
	}
	return &Session{owner: owner, access: access, clock: c, notify: notify, pacer: p, conn: conn, wake: make(chan struct{}, 1)}, nil
}

// Observe returns what is known now.
func (s *Session) Observe() Observation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.observation
}

// Want says what should be inside the tenant's cluster. It returns at once; the
// observation tells when it was applied.
func (s *Session) Want(content *Content) {
	s.mu.Lock()
	changed := s.content == nil || s.content.Hash != content.Hash || s.drift.wants() && s.content.Objects == nil
	if changed {
		s.content = content
	}
	s.mu.Unlock()
	if changed {
		s.kick()
	}
}

// Holds returns the content that is applied, without its objects, if it was made from the same
// source and none of it is to be applied again; nil otherwise. Most of a reconcile's work is to make it.
func (s *Session) Holds(source string) *Content {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.content == nil || s.content.Source != source || s.content.Hash != s.observation.Applied || s.drift.wants() {
		return nil
	}
	return s.content
}

func (s *Session) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Session) inherit(old *Session) {
	old.mu.Lock()
	defer old.mu.Unlock()
	s.content, s.observation, s.drift, s.chores = old.content, old.observation, old.drift, old.chores.again()
}

func (s *Session) start() {
	ctx, cancel := context.WithCancel(log.IntoContext(context.Background(), log.Log.WithValues("controlPlane", s.owner)))
	s.cancel = cancel
	go s.run(ctx)
}

func (s *Session) stop() {
	s.cancel()
	s.conn.drop()
}

// run asks, applies, does chores and waits, until the session is closed. Applying and chores happen
// beside the asking: a tenant that is slow to take objects must not look ready for longer than it is.
func (s *Session) run(ctx context.Context) {
	var applying, busy chan struct{} // closed when what is under way has ended; nil: nothing is
	silentSince := s.clock.Now()
	ready := false // /readyz was ok since the last failure
	backoff := newApplyBackoff()
	var tried string // the hash that backoff speaks of
	var retryApply time.Time
	for ctx.Err() == nil {
		if ended(applying) {
			applying = nil
		}
		observed, ok := s.ask(ctx, &ready, applying == nil && s.pending() == nil)
		if ctx.Err() != nil {
			return
		}
		if ok {
			silentSince = s.clock.Now()
		}
		s.publish(ctx, observed)

		content := s.pending()
		if content == nil && applying == nil {
			tried = "" // it went well, so what comes next is no further attempt
		}
		if content != nil && content.Hash != tried {
			backoff, tried, retryApply = newApplyBackoff(), content.Hash, time.Time{}
		}
		if ok && applying == nil && content != nil && !s.clock.Now().Before(retryApply) {
			applying = make(chan struct{})
			retryApply = s.clock.Now().Add(backoff.Step())
			go func(done chan struct{}) {
				defer s.kick()
				defer close(done)
				s.apply(ctx, content)
			}(applying)
		}
		if ended(busy) {
			busy = nil
		}
		if busy == nil {
			busy = s.doChore(ctx, ok)
		}

		interval := steadyInterval
		if content == nil && applying == nil {
			interval = s.turnIn()
		}
		if until := retryApply.Sub(s.clock.Now()); ok && content != nil && applying == nil {
			interval = min(max(until, calmInterval), steadyInterval)
		}
		if !ok {
			switch silent := s.clock.Since(silentSince); {
			case silent < eagerFor:
				interval = eagerInterval
			case silent < calmFor:
				interval = calmInterval
			default:
				interval = slowInterval
			}
		}
		if ok && busy == nil {
			interval = s.choreIn(interval)
		}
		timer := s.clock.NewTimer(interval)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// ended says whether something was under way and is so no longer.
func ended(underWay chan struct{}) bool {
	select {
	case <-underWay:
		return true
	default:
		return false // also of nil
	}
}

// newApplyBackoff spaces the attempts to apply what a tenant refuses, say by a webhook.
func newApplyBackoff() wait.Backoff {
	return wait.Backoff{Duration: time.Second, Factor: 2, Steps: 8, Cap: time.Minute}
}

// pending returns the content that is wanted and not applied yet.
func (s *Session) pending() *Content {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.content == nil:
		return nil
	case s.content.Hash != s.observation.Applied:
		return s.content
	case s.drift.wants() && s.content.Objects != nil:
		return s.content
	default:
		return nil
	}
}

// ask makes one authenticated request that reads through etcd: Ready stands on it. It is not made for
// that alone: at rest it looks for what others changed, and else for machines. After a failure /readyz
// must be ok first, since an API server that has just started answers before its own roles and
// namespaces exist.
func (s *Session) ask(ctx context.Context, ready *bool, atRest bool) (func(*Observation), bool) {
	var ours schema.GroupVersionResource
	if !*ready {
		if err := s.conn.get(ctx, "/readyz", askTimeout); err != nil {
			// An answer, even that it is not ready, came over a connection that is worth
			// keeping: a handshake for each question is what a start has least time for.
			var unhealthy *unhealthyError
			if errors.As(err, &unhealthy) {
				return failed(err, unhealthy.etcd()), false
			}
			s.conn.drop()
			return failed(err, false), false
		}
		*ready = true
	} else if atRest {
		ours = s.turn()
	}
	machines, err := s.Observe().Machines, error(nil)
	if ours.Empty() {
		machines, err = s.conn.hasMachines(ctx)
	} else {
		err = s.lookForDrift(ctx, ours)
	}
	if err != nil {
		*ready = false
		s.conn.drop()
		// Alive, but the request did not get through to etcd and back.
		return failed(err, !refused(err) && s.conn.get(ctx, "/livez/ping", pingTimeout) == nil), false
	}
	return func(o *Observation) {
		o.Asked, o.Answered, o.DatastoreDown, o.Refused, o.Error, o.Machines = true, true, false, false, "", machines
	}, true
}

func failed(cause error, datastoreDown bool) func(*Observation) {
	return func(o *Observation) {
		o.Asked, o.Answered, o.DatastoreDown, o.Refused, o.Error = true, false, datastoreDown, refused(cause), cause.Error()
	}
}

// publish stores an observation and tells the controllers when it differs in more than
// the wording of an error.
func (s *Session) publish(ctx context.Context, change func(*Observation)) {
	s.mu.Lock()
	before := s.observation
	change(&s.observation)
	after := s.observation
	s.mu.Unlock()
	before.Error, after.Error = "", ""
	if before != after {
		s.notify(ctx, s.owner)
	}
}
