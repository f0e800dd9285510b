package faults

import (
	"net/http"
	"strings"
	"sync"
)

// Requests notes every request of a manager that is not a read. It goes around the transport of
// the manager's configuration (rest.Config.Wrap).
type Requests struct {
	mu   sync.Mutex
	made []string
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Wrap notes the requests that go through.
func (q *Requests) Wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet {
			q.mu.Lock()
			q.made = append(q.made, r.Method+" "+r.URL.Path)
			q.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

// About returns the writes to objects whose path holds a text.
func (q *Requests) About(text string) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var found []string
	for _, request := range q.made {
		if strings.Contains(request, text) {
			found = append(found, request)
		}
	}
	return found
}
