package link

import "math"

// workPerByte is the transmission work of one byte: 8 bits, in the unit of
// nanoseconds times 1/1000 bit/s, in which dividing by the rate is exact but
// for a remainder that is carried along.
const workPerByte = 8 * 1e9 * 1000

// service is a transmitter's virtual clock. It is asked for one packet after
// the other and says when each has left: at max(arrival, end of the one
// before) plus the time its bits take. Nothing is rounded away: n packets sent
// back to back take exactly n times one packet's time, to the nanosecond.
type service struct {
	rate  uint64 // 1/1000 bit/s; 0 is unlimited
	trace cursor // used instead of rate when it has a trace

	finish int64  // when the last packet has left
	rest   uint64 // work beyond finish, less than what fits in 1 ns

	// Of the packet in service, to change the rate below it:
	begin  int64
	before cursor
	size   int
}

// configure sets rate or trace; a trace starts at now.
func (s *service) configure(cfg *Config, now int64) {
	s.rate = 0
	if cfg.Rate > 0 {
		s.rate = max(1, uint64(math.Round(cfg.Rate*1000)))
	}
	s.trace = cursor{}
	if cfg.Trace != nil {
		s.trace = newCursor(cfg.Trace, now)
	}
}

// serve returns when a packet of size bytes that arrives at arrival has left.
func (s *service) serve(arrival int64, size int) int64 {
	if arrival > s.finish {
		s.finish = arrival
		s.rest = 0
	}
	s.begin, s.before, s.size = s.finish, s.trace, size
	switch {
	case s.trace.trace != nil:
		s.finish = s.trace.serve(s.finish, size)
	case s.rate > 0:
		s.spend(uint64(size) * workPerByte)
	}
	return s.finish
}

// spend lets the clock run for an amount of work.
func (s *service) spend(work uint64) {
	work += s.rest
	s.finish += int64(work / s.rate)
	s.rest = work % s.rate
}

// change switches to another configuration at now, while the packet in
// service, if any, still has work left: what it has not sent yet it sends at
// the new rate. It returns when that packet has left.
func (s *service) change(cfg *Config, now int64) int64 {
	if s.finish <= now {
		s.configure(cfg, now)
		return s.finish
	}
	var work uint64
	if s.trace.trace != nil {
		work = uint64(s.before.unserved(s.begin, now, s.size)) * workPerByte
	} else {
		work = uint64(s.finish-now)*s.rate + s.rest
	}
	s.configure(cfg, now)
	s.finish, s.rest, s.begin = now, 0, now
	switch {
	case s.trace.trace != nil:
		s.before, s.size = s.trace, int((work+workPerByte-1)/workPerByte)
		s.finish = s.trace.serve(now, s.size)
	case s.rate > 0:
		s.spend(work)
	}
	return s.finish
}

// idle forgets the packet in service: the transmitter is free at now.
func (s *service) idle(now int64) { s.finish, s.rest = min(s.finish, now), 0 }
