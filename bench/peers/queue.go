package main

import "sync"

// queueLength is how many messages may wait for a member, as in the chat
// example of gorilla/websocket and by default in melody.
const queueLength = 256

// queue holds what one goroutine, its writer, sends to one member.
type queue[M any] struct {
	messages chan M
	done     chan struct{} // closed when the writer is to end
	once     sync.Once
}

func newQueue[M any]() *queue[M] {
	return &queue[M]{messages: make(chan M, queueLength), done: make(chan struct{})}
}

// put reports whether there was room. It does not wait.
func (q *queue[M]) put(m M) bool {
	select {
	case q.messages <- m:
		return true
	default:
		return false
	}
}

func (q *queue[M]) end() { q.once.Do(func() { close(q.done) }) }
