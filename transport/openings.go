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
		l.last = o
		return
	}
	l.first, l.last = o, o
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Until(o.deadline), l.expire)
	} else {
		l.timer.Reset(time.Until(o.deadline))
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
	}
}

// expire cuts those whose time is up. The poller sees it, and removes them.
func (l *openings) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for o := l.first; o != nil; o = o.next {
		if !l.hurried && o.deadline.After(now) {
			l.timer.Reset(o.deadline.Sub(now))
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
