package control

import (
	"slices"
	"sync"
)

// posts are the messages that wait to be sent: at most one of each type, in the
// order in which they came.
type posts struct {
	mu      sync.Mutex
	waiting []Message
	sending bool // somebody takes from waiting, or nobody will any more
}

// Post sends a message soon, and never waits. Posted messages leave in the order
// in which they came. One that still waits when another of its type comes is left
// out: the newest says all there is to know, such as the strategy in force. When a
// message cannot be sent the connection ends, of which Receive tells.
func (c *Conn) Post(m Message) {
	p := &c.posts
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(w Message) bool { return w.kind() == m.kind() })
	p.waiting = append(p.waiting, m)
	if !p.sending {
		p.sending = true
		go c.sendPosted()
	}
}

// sendPosted sends until nothing waits. After an error nobody does any more.
func (c *Conn) sendPosted() {
	p := &c.posts
	for {
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.sending = false
			p.mu.Unlock()
			return
		}
		m := p.waiting[0]
		p.waiting = slices.Delete(p.waiting, 0, 1)
		p.mu.Unlock()
		if c.Send(m) != nil {
			_ = c.tls.NetConn().Close()
			return
		}
	}
}
