package transport

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Task is work of a connection that may take its time; see Conn.Schedule.
type Task interface{ Run() }

// executor runs what connections have to be done, tasks and writes, on as few
// goroutines as will do: one works off what waits, and before it begins a task,
// which may block, it sees to it that another one is ready to run, to go on
// with the rest (leader and followers). So the scheduler gives the processor to
// the next worker just when this one blocks, and not before.
//
// While a task runs its connection is corked: what is sent to it waits for the
// task's end, to leave in one write; or for the watch, if that takes long.
type executor struct {
	mu    sync.Mutex
	tasks fifo[job]
	dirty fifo[*Conn] // to be written, which does not wait
	woken bool        // a worker has been told to look, and has not yet
	conns int         // while there are some, workers stay
	idle  []*worker
	all   []*worker

	watching atomic.Bool // the timer is set
	timer    *time.Timer // guarded by mu; its time is up every corkTime
	beat     atomic.Uint32
}

type job struct {
	c *Conn // nil for a task of no connection
	t Task  // nil: c is to be written, which may wait
}

type worker struct {
	at     int                  // in executor.all
	wake   chan bool            // false: it is to end
	corked atomic.Pointer[Conn] // by the task that runs
	beat   atomic.Uint32        // of the executor, when it was
	batch  [16]*Conn
}

const (
	// maxIdle is how many workers stay for what comes.
	maxIdle = 2

	// corkTime is how long what a task sends waits for more at least. The most is
	// twice as much.
	corkTime = time.Millisecond
)

// begin and end count the connections.
func (e *executor) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conns++
}

func (e *executor) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conns--; e.conns > 0 {
		return
	}
	for _, w := range e.idle {
		w.wake <- false
		e.forget(w)
	}
	e.idle = e.idle[:0]
}

// add has a job done.
func (e *executor) add(j job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tasks.push(j)
	e.kick()
}

// flush has a connection written whose writing does not wait.
func (e *executor) flush(c *Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dirty.push(c)
	e.kick()
}

// kick sees to it that a worker looks soon. mu is held.
func (e *executor) kick() {
	if e.woken {
		return
	}
	e.woken = true
	if l := len(e.idle); l > 0 {
		w := e.idle[l-1]
		e.idle = e.idle[:l-1]
		w.wake <- true
		return
	}
	w := &worker{wake: make(chan bool, 1), at: len(e.all)}
	e.all = append(e.all, w)
	go e.run(w)
}

func (e *executor) run(w *worker) {
	done := false
	defer func() {
		if !done {
			e.quit(w)
		}
	}()
	e.mu.Lock()
	e.woken = false
	for {
		j, ok := e.next(w)
		if !ok {
			done = true
			return
		}
		e.do(w, j)
		e.mu.Lock()
	}
}

// next returns the next job, and writes what is dirty before. It waits for
// one, or reports false if the worker is to end. mu is held, and released.
func (e *executor) next(w *worker) (job, bool) {
	for {
		if n := e.dirty.popTo(w.batch[:]); n > 0 {
			if e.tasks.len() > 0 {
				e.kick() // they need not wait for the writes
			}
			e.mu.Unlock()
			for i, c := range w.batch[:n] {
				if c.take() {
					c.driver().write(c)
				}
				w.batch[i] = nil
			}
			e.mu.Lock()
		}
		if j, ok := e.tasks.pop(); ok {
			if e.tasks.len()+e.dirty.len() > 0 {
				e.kick()
			}
			e.mu.Unlock()
			return j, true
		}
		if e.dirty.len() > 0 {
			continue
		}
		if e.conns == 0 || len(e.idle) == maxIdle {
			e.forget(w)
			e.mu.Unlock()
			return job{}, false
		}
		e.idle = append(e.idle, w)
		e.mu.Unlock()
		if !<-w.wake {
			return job{}, false
		}
		e.mu.Lock()
		e.woken = false
	}
}

// forget takes w out of all. mu is held.
func (e *executor) forget(w *worker) {
	last := len(e.all) - 1
	e.all[w.at] = e.all[last]
	e.all[w.at].at = w.at
	e.all[last] = nil
	e.all = e.all[:last]
}

func (e *executor) do(w *worker, j job) {
	switch {
	case j.t == nil:
		if j.c.take() {
			j.c.driver().write(j.c)
		}
		return
	case j.c == nil:
		j.t.Run()
		return
	}
	w.cork(e, j.c)
	j.t.Run()
	if w.uncork(j.c) {
		j.c.driver().write(j.c)
	} else {
		j.c.Flush()
	}
}

// cork corks c for a task, where that can be done. Who sends to c finds w.corked
// set, so that look does, too.
func (w *worker) cork(e *executor, c *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cork(byTask) {
		w.beat.Store(e.beat.Load())
		w.corked.Store(c)
	}
}

// uncork pulls the cork of the task. It reports whether it was still there; then
// the writing is up to the caller.
func (w *worker) uncork(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.corked.Swap(nil) == nil || c.corked != byTask {
		return false
	}
	c.corked = uncorked
	c.writeSince = c.sh.wheel.now()
	return true
}

// quit takes the place of a worker whose goroutine a task has ended
// (runtime.Goexit).
func (e *executor) quit(w *worker) {
	if c := w.corked.Swap(nil); c != nil {
		c.uncork()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forget(w)
	if e.tasks.len()+e.dirty.len() > 0 {
		e.kick()
	}
}

// watch has corks looked after: something waits behind one.
func (e *executor) watch() {
	if e.watching.Load() || e.watching.Swap(true) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timer == nil {
		e.timer = time.AfterFunc(corkTime, e.look)
	} else {
		e.timer.Reset(corkTime)
	}
}

// look pulls the corks of tasks that have run for a corkTime.
func (e *executor) look() {
	e.watching.Store(false)
	now := e.beat.Add(1)
	again := false
	var late []*Conn
	e.mu.Lock()
	for _, w := range e.all {
		c := w.corked.Load()
		switch {
		case c == nil:
		case now-w.beat.Load() < 2:
			again = true
		case w.corked.CompareAndSwap(c, nil):
			late = append(late, c)
		}
	}
	e.mu.Unlock()
	for _, c := range late {
		c.uncork()
	}
	if again {
		e.watch()
	}
}

// fifo is a queue in a slice that is used again.
type fifo[T any] struct {
	s    []T
	head int
}

// maxKeptFIFO is how long a slice an empty fifo keeps.
const maxKeptFIFO = 1 << 14

func (f *fifo[T]) len() int { return len(f.s) - f.head }

func (f *fifo[T]) push(v T) {
	if f.head > 64 && f.head > len(f.s)/2 {
		n := copy(f.s, f.s[f.head:])
		clear(f.s[n:])
		f.s, f.head = f.s[:n], 0
	}
	f.s = append(f.s, v)
}

func (f *fifo[T]) pop() (v T, ok bool) {
	var one [1]T
	ok = f.popTo(one[:]) == 1
	return one[0], ok
}

// popTo fills dst from the front.
func (f *fifo[T]) popTo(dst []T) int {
	n := copy(dst, f.s[f.head:])
	clear(f.s[f.head : f.head+n])
	f.head += n
	if f.head == len(f.s) {
		f.s, f.head = f.s[:0], 0
		if cap(f.s) > maxKeptFIFO {
			f.s = nil
		}
	}
	return n
}
