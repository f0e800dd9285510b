// Package output keeps what a program that a test runs says.
package output

import (
	"bytes"
	"sync"
)

// Buffer can be read while a program writes to it. The zero value is empty.
type Buffer struct {
	mu   sync.Mutex
	said bytes.Buffer
}

// Write adds what was said.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said.Write(p)
}

// String returns what was said so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said.String()
}
