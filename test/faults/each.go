package faults

import "testing"

// AtEachWrite lives a life again and again, with each fault at its first write, its second, and so on,
// until the life needs fewer writes: live says whether it came to that one. A life of fewer than atLeast
// writes has gone wrong.
func AtEachWrite(t *testing.T, life string, atLeast int, live func(t *testing.T, what Fault, at int) bool) {
	t.Helper()
	for _, what := range []Fault{Fails, Lost, Ends} {
		t.Run(string(what), func(t *testing.T) {
			t.Parallel()
			for at := 1; ; at++ {
				hit := live(t, what, at)
				if t.Failed() || !hit {
					if at < atLeast {
						t.Errorf("%s takes %d writes, which is too few to be true", life, at-1)
					}
					return
				}
			}
		})
	}
}
