package main

import (
	"maps"
	"slices"
	"sync"
)

// members is a room: a set behind a mutex. It may be used by many goroutines.
type members[C comparable] struct {
	mu   sync.Mutex
	set  map[C]struct{}
	list []C // what is in set, or nil if it has changed since
}

func newMembers[C comparable]() *members[C] { return &members[C]{set: make(map[C]struct{})} }

func (m *members[C]) join(c C) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set[c] = struct{}{}
	m.list = nil
}

func (m *members[C]) leave(c C) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.set, c)
	m.list = nil
}

// all returns all members. The slice is not to be changed; joining and leaving
// do not change it either, so that a broadcast needs no lock while it writes.
func (m *members[C]) all() []C {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.list == nil {
		m.list = slices.AppendSeq(make([]C, 0, len(m.set)), maps.Keys(m.set))
	}
	return m.list
}
