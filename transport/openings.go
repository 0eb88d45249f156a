package transport

import (
	"sync"
	"time"
)

// openings are the polled handshakes of a Server whose head has not come, in the
// order in which their time is up, which is the one in which they have begun.
type openings struct {
	mu          sync.Mutex
	first, last *polledOpening
	timer       *time.Timer
	ticking     bool // the timer is set
	hurried     bool // Shutdown waits for them: all time is up
}

func (l *openings) add(o *polledOpening) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hurried {
		o.cut()
	}
	if o.prev = l.last; o.prev != nil {
		o.prev.next = o
	} else {
		l.first = o
	}
	l.last = o
	if !l.ticking { // those before it have been cut, if there are any
		l.set(o.deadline)
	}
}

// set has expire called at a time. mu is held.
func (l *openings) set(at time.Time) {
	l.ticking = true
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Until(at), l.expire)
	} else {
		l.timer.Reset(time.Until(at))
	}
}

// remove takes o out; its socket is not touched from here any more.
func (l *openings) remove(o *polledOpening) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.prev != nil {
		o.prev.next = o.next
	} else {
		l.first = o.next
	}
	if o.next != nil {
		o.next.prev = o.prev
	} else {
		l.last = o.prev
	}
	o.prev, o.next = nil, nil
	if l.first == nil {
		l.timer.Stop()
		l.ticking = false
	}
}

// expire cuts those whose time is up. The poller sees it, and removes them.
func (l *openings) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ticking = false
	now := time.Now()
	for o := l.first; o != nil; o = o.next {
		if !l.hurried && o.deadline.After(now) {
			l.set(o.deadline)
			return
		}
		o.cut()
	}
}

// hurry cuts all of them, those to come included.
func (l *openings) hurry() {
	l.mu.Lock()
	l.hurried = true
	l.mu.Unlock()
	l.expire()
}
