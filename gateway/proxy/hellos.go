package proxy

import (
	"net/netip"
	"sync"
)

// hellos counts the connections that have not said yet whom they ask for.
type hellos struct {
	mu       sync.Mutex
	all      int
	byClient map[netip.Addr]int
}

// begin counts one more, unless there are as many as there may be.
func (h *hellos) begin(limit int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all >= limit {
		return false
	}
	h.all++
	return true
}

func (h *hellos) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all--
}

// beginClient counts one more of a client's, unless there are as many as there may be.
func (h *hellos) beginClient(client netip.Addr, limit int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byClient[client] >= limit {
		return false
	}
	h.byClient[client]++
	return true
}

func (h *hellos) endClient(client netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byClient[client]--; h.byClient[client] == 0 {
		delete(h.byClient, client)
	}
}
