package transport

// BreakEpoll lets epoll refuse every change from now on, as when it is out of
// memory, and returns what mends it.
func BreakEpoll(c *Conn) (mend func()) {
	p := c.sh.poll
	p.mu.Lock()
	defer p.mu.Unlock()
	ep := p.ep
	p.ep = -1
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ep = ep
	}
}
