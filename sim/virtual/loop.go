package virtual

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// RunUntil runs until a time of the run.
func (s *Simulation) RunUntil(ctx context.Context, t time.Duration) error {
	return s.run(ctx, s.origin+int64(t))
}

// Bounds of one run of the loop.
const (
	// maxStill is how many events may happen at one moment.
	maxStill = 300_000
	// lookAround is after how many events it is looked whether the context
	// has ended and memory is to be freed.
	lookAround = 4096
)

// run runs until a time of the clock. What happens then is left to the next
// run.
func (s *Simulation) run(ctx context.Context, until int64) error {
	still := 0
	for s.err == nil {
		at, who := s.nextEvent()
		if at >= until {
			s.clock.advance(until)
			return nil
		}
		if still++; at > s.clock.now {
			still = 0
		}
		if still > maxStill {
			return fmt.Errorf("%w at %s: %s", ErrStuck, s.Now(), who)
		}
		s.clock.advance(at)
		if s.counters.Events++; s.counters.Events%lookAround == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.collector.run()
		}
		s.happen(who)
		if s.dirty {
			s.settle()
		}
	}
	return s.err
}

// occurrence is a source of events: a stage by its index, one of the sessions,
// or the timers.
type occurrence int

const (
	timers occurrence = -3
	// An end's session is -2 (client) or -1 (server).
	sessions occurrence = -2
)

func (o occurrence) String() string {
	switch o {
	case timers:
		return "timers"
	case sessions + client:
		return "the client's session"
	case sessions + server:
		return "the server's session"
	}
	return fmt.Sprintf("link model %d", int(o))
}

// nextEvent says what happens next. Of several things at the same moment it
// is always the same that comes first.
func (s *Simulation) nextEvent() (at int64, who occurrence) {
	at, who = s.clock.next(), timers
	for i, st := range s.stages {
		if st.next < at {
			at, who = st.next, occurrence(i)
		}
	}
	for i, e := range s.ends {
		if e.next < at {
			at, who = e.next, sessions+occurrence(i)
		}
	}
	return at, who
}

func (s *Simulation) happen(who occurrence) {
	switch {
	case who == timers:
		if f, ok := s.clock.pop(); ok {
			f()
			s.yield()
		}
	case who < 0:
		s.ends[who-sessions].timeout()
	default:
		s.stages[who].step()
	}
}

// settle lets the applications work and sends what the stacks put out until
// there is nothing more to do at this moment.
func (s *Simulation) settle() {
	for rounds := 0; s.dirty; rounds++ {
		if rounds > maxStill {
			s.fail(fmt.Errorf("%w at %s: the hosts", ErrStuck, s.Now()))
			return
		}
		s.dirty = false
		for _, socket := range s.takeReady() {
			socket.ready()
			s.dirty = true
		}
		s.client.flush()
		for _, h := range s.hosts {
			h.flush()
		}
	}
}

// takeReady takes the sockets whose owners are to be called, in the order in
// which they were made.
func (s *Simulation) takeReady() []*socket {
	r := &s.ready
	r.mu.Lock()
	list := r.sockets
	r.sockets = nil
	for _, socket := range list {
		socket.listed = false
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b *socket) int { return a.number - b.number })
	return list
}
