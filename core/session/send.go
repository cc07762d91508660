package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/gso"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/queue"
	"github.com/multilink-vpn/multilink/core/reseq"
	"github.com/multilink-vpn/multilink/core/sched"
	"github.com/multilink-vpn/multilink/core/wire"
)

// HandlePackets takes inner packets from the TUN, super-packets among them,
// and sends what the links let go now.
func (s *Session) HandlePackets(now core.Time, batch []core.Packet, out *Output) {
	s.begin(now, out)
	c := s.conditions()
	for _, p := range batch {
		s.enqueue(p, c)
	}
	s.pump(out)
}

// enqueue cuts p into segments and puts each into the queue.
func (s *Session) enqueue(p core.Packet, c queue.Conditions) {
	var cur gso.Cursor
	if p.Segment == 0 && !classify.Valid(p.Data) || cur.Init(p) != nil {
		s.counters.DropBadPacket++
		return
	}
	flow := classify.Flow(p.Data)
	mark := s.mark(p, flow)
	for cur.Left() > 0 {
		n := cur.NextLen()
		if n > s.cfg.MTU {
			s.counters.DropTooBig += uint64(cur.Left())
			return
		}
		h := s.pool.Get()
		if h == nil {
			s.counters.DropQueueFull += uint64(cur.Left())
			return
		}
		h.Data = h.Data[:n]
		cur.Next(h.Data)
		h.Flow, h.Class, h.Known, h.Call = flow, mark.class, mark.what.Ref, mark.what.State == classify.Confirmed
		h.Header.Flags |= mark.flags
		if p.Partial || p.Segment > 0 {
			h.Header.Flags |= wire.Partial
		}
		if p.Segment == 0 { // no segment of a super-packet is a SYN
			gso.ClampMSS(h.Data, p.Partial, s.cfg.MTU)
		}
		if s.shaper != nil {
			s.shaper.Sent(s.now, h.Data, h.Header.Flags&wire.Partial != 0, flow)
		}
		switch s.queue.Push(s.now, h, c) {
		case queue.Full:
			s.counters.DropQueueFull++
			h.Release()
		case queue.Signal:
			s.counters.DropQueueSignal++
			h.Release()
		}
	}
}

// conditions sum up what the links allow.
func (s *Session) conditions() queue.Conditions {
	var c queue.Conditions
	if !s.cfg.Send.RateControl {
		return c
	}
	s.look()
	for _, l := range s.view.Links {
		if l.Suspect {
			return queue.Conditions{} // an outage is no congestion
		}
		c.Rate += l.Potential
		c.RTT = max(c.RTT, l.SRTT+l.Repair)
	}
	if b, ok := s.sched.(sched.Backlogger); ok {
		c.Ahead = float64(b.Backlog(&s.view))
	}
	s.expectReturn(&c)
	return c
}

// maxPasses bounds how many flows are asked in a row for a packet that an open
// link would take.
const maxPasses = 8

// pump sends what waits, as far as the scheduler and the links go.
func (s *Session) pump(out *Output) {
	s.wake = core.Never
	if !s.sendStranded(out) || s.queue.Empty() {
		return
	}
	if s.looked {
		s.view.Backlog = s.queue.Total() // packets have come since
	} else {
		s.look()
	}
	s.sendUrgent(out)
	s.equalize()
	for passes := 0; s.queue.Waiting() && len(s.view.Links) > 0; {
		s.view.Flows = s.queue.Sharers()
		c, wake, ok := s.pick()
		switch {
		case ok && s.dispatch(c, out) > 0:
			passes = 0
			continue
		case !ok:
			s.wake = min(s.wake, max(wake, s.now+1))
		}
		// No link wants a packet of this flow; one of another it may.
		if passes++; passes >= min(maxPasses, s.queue.Flows()) || !s.view.AnyOpen() {
			break
		}
		s.queue.Pass()
	}
	if !s.queue.Empty() {
		for _, l := range s.order {
			if l.usable() && !l.open(s.now) {
				l.tx.Limited()
			}
		}
	}
}

// look fills the view that the scheduler gets.
func (s *Session) look() {
	v := &s.view
	v.Now, v.Queue, v.Backlog = s.now, s.queue, s.queue.Total()
	v.Budget = reseq.MaxBytes
	v.Links = v.Links[:0]
	s.looked, s.repairing = true, s.repairTime()
	for _, l := range s.order {
		if s.eligible(l) {
			v.Links = append(v.Links, sched.Link{ID: l.id})
			s.refresh(&v.Links[len(v.Links)-1])
		}
	}
}

// refresh brings the scheduler's picture of one link up to date.
func (s *Session) refresh(v *sched.Link) {
	l := s.links[v.ID]
	e, st := l.tx.Estimate(), l.tx.Stats()
	v.Open, v.OpensAt = l.tx.Open(s.now)
	v.Backup, v.Suspect = s.reserved(l), l.health == suspect
	v.Known, v.SRTT, v.RTTVar, v.MinRTT = e.Known, e.SRTT, e.RTTVar, e.MinRTT
	v.Base, v.Delay, v.Jitter = e.Base, e.Delay, e.Jitter
	v.Rate, v.Potential, v.Loss, v.Repair = e.Rate, e.Potential(), e.Loss, repairShare(s.repairing, e.Random)
	v.InFlight, v.Window, v.Starting = e.InFlight, e.Window, e.Starting
	v.Sent, v.Acked, v.Lost = st.Bytes, st.AckedBytes, st.LostBytes
}

// dispatch sends the packets of a choice until one of its links closes, and
// returns how many left.
func (s *Session) dispatch(c sched.Choice, out *Output) int {
	n := 0
	for last, open := false, true; open && !last && n < c.Count && c.From < s.queue.Len(); n++ {
		var p *packet.Packet
		p, last = s.queue.Take(c.From)
		if s.cfg.Send.Equalize == EqualizeAuto {
			s.equal.note(p.Header.Bucket, len(p.Data))
		}
		open = s.sendOn(c.Links, p, out)
	}
	if s.queue.Waiting() { // or nobody will be asked again
		s.refreshAll(c.Links)
	}
	return n
}

// refreshAll brings the picture of the given links up to date.
func (s *Session) refreshAll(links sched.Set) {
	for i := range s.view.Links {
		if v := &s.view.Links[i]; links.Has(v.ID) {
			s.refresh(v)
		}
	}
}

// sendOn sends a packet that was taken from the queue on each of the links,
// gives its reference back, and tells whether all of them are still open.
func (s *Session) sendOn(links sched.Set, p *packet.Packet, out *Output) (open bool) {
	p.Sent = s.now
	if copies := links&(links-1) != 0; copies {
		p.Header.Flags |= wire.Copy
	}
	open = true
	for i := range s.view.Links {
		v := &s.view.Links[i]
		if !links.Has(v.ID) {
			continue
		}
		s.queue.Carried(v.ID, p)
		size := s.sendPacket(s.links[v.ID], p, p.Header, wire.Whole, out)
		s.sched.Sent(s.now, v.ID, size)
		v.Open, v.OpensAt = s.links[v.ID].tx.Open(s.now)
		open = open && v.Open
	}
	s.calls.table.Carried(p.Known, uint16(links), p.Header.Flags&wire.LowLatency != 0)
	s.counters.TxPackets++
	s.counters.TxBytes += uint64(len(p.Data))
	s.sentData = s.now
	p.Release()
	return open
}

// sendPacket seals a part of p for a link, in two halves where the link does
// not carry it whole, and returns its outer size in bytes.
func (s *Session) sendPacket(l *linkState, p *packet.Packet, h wire.PacketHeader, part wire.Part, out *Output) int {
	if part == wire.Whole && !l.carries(len(p.Data)) {
		s.counters.SplitPackets++
		return s.sendPart(l, p, h, wire.FirstHalf, out) + s.sendPart(l, p, h, wire.SecondHalf, out)
	}
	return s.sendPart(l, p, h, part, out)
}

// sendPart seals a part of p for a link from where it is, its header in front of it
// meanwhile, and returns its outer size in bytes.
func (s *Session) sendPart(l *linkState, p *packet.Packet, h wire.PacketHeader, part wire.Part, out *Output) int {
	h.Part = part
	n := h.Len()
	body := p.Behind(n, part)
	var covered [packet.Headroom]byte // by the header: of the other half, if any
	copy(covered[:], body[:n])
	h.Append(body[:0])
	size := s.seal(l, l.paths.current, body, l.tx.NextNumber(), out)
	copy(body, covered[:n])
	var held *packet.Packet
	if s.cfg.Send.Retransmit {
		held = p
		l.tail = l.tail || h.Flags&wire.LowLatency == 0
	}
	if size > 0 {
		l.tx.Sent(s.now, size, true, held, part)
	}
	return size
}

// sendBody sends a body of frames on a link, to the given path.
func (s *Session) sendBody(l *linkState, path core.Path, body []byte, eliciting bool, out *Output) {
	if size := s.seal(l, path, body, l.tx.NextNumber(), out); size > 0 {
		l.tx.Sent(s.now, size, eliciting, nil, wire.Whole)
	}
}

// seal makes a datagram of a body in the output's space, for a path of a link, and
// returns its outer size in bytes, 0 when it cannot be sent. It is to be recorded by
// the link.
func (s *Session) seal(l *linkState, path core.Path, body []byte, number uint64, out *Output) int {
	space := out.space(l.id, path, wire.HeaderLen+len(body)+wire.TagLen)
	d, err := l.sealer.Seal(wire.Header{Receiver: l.peer, Number: number}.Append(space), body, number)
	if err != nil {
		// The key has sealed all it may; the link ends with its next control
		// connection.
		s.counters.DropSealLimit++
		return 0
	}
	out.sent(l.id, d)
	return len(d) + l.overhead()
}

// repairTime is how long a repair takes: a report and a resend on the fastest
// links, with a little slack. 0 without retransmission.
func (s *Session) repairTime() time.Duration {
	if !s.cfg.Send.Retransmit {
		return 0
	}
	best := time.Duration(0)
	for _, l := range s.order {
		if e := l.tx.Estimate(); l.usable() {
			if t := e.SRTT + 2*e.RTTVar; best == 0 || t < best {
				best = t
			}
		}
	}
	return best + repairSlack
}

const repairSlack = 3 * time.Millisecond

// Loss below which a link counts as clean, and from which all its packets count
// as needing repair: a resequenced flow waits for each.
const (
	cleanLoss = 5e-5
	dirtyLoss = 2e-4
)

// repairShare is the part of the repair time that counts for a link of the
// given loss.
func repairShare(repair time.Duration, loss float64) time.Duration {
	if loss < cleanLoss {
		return 0
	}
	return time.Duration(float64(repair) * min(1, loss/dirtyLoss))
}
