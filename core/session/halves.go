package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// Limits of what waits for its other half.
const (
	maxHalves = 256
	halfAge   = time.Second
)

// halves holds halves of packets until the other one comes, each in the slot of
// its sequence: a later one drives out an earlier one that is still there.
type halves struct {
	slots   [maxHalves]*packet.Packet
	count   int
	due     core.Time // when to look for those too old
	dropped uint64
}

// join returns the half that h's packet still needs, or keeps data until that
// comes. The caller releases what is returned.
func (v *halves) join(now core.Time, h *wire.PacketHeader, data []byte, pool *packet.Pool) *packet.Packet {
	slot := &v.slots[h.Sequence%maxHalves]
	p := *slot
	if p != nil && p.Header.Sequence == h.Sequence {
		if p.Header.Part == h.Part {
			return nil // a copy
		}
		v.count--
		*slot = nil
		return p
	}
	if p != nil {
		v.drop(slot)
	}
	if p = pool.Get(); p == nil {
		v.dropped++
		return nil
	}
	p.Data, p.Header, p.Since = append(p.Data, data...), *h, now
	*slot = p
	if v.count++; v.count == 1 {
		v.due = now.Add(halfAge)
	}
	return nil
}

func (v *halves) drop(slot **packet.Packet) {
	(*slot).Release()
	*slot = nil
	v.count--
	v.dropped++
}

// nextTimeout is when expire is to be called.
func (v *halves) nextTimeout() core.Time {
	if v.count == 0 {
		return core.Never
	}
	return v.due
}

// expire drops the halves that have waited too long.
func (v *halves) expire(now core.Time) {
	if v.nextTimeout() > now {
		return
	}
	v.due = core.Never
	for i := range v.slots {
		switch p := v.slots[i]; {
		case p == nil:
		case now.Sub(p.Since) >= halfAge:
			v.drop(&v.slots[i])
		default:
			v.due = min(v.due, p.Since.Add(halfAge))
		}
	}
}

// whole makes a packet of both halves in the memory of the output. It is nil
// when they do not belong together.
func (o *Output) whole(h *wire.PacketHeader, data []byte, other *packet.Packet) []byte {
	first, second := data, other.Data
	if h.Part == wire.SecondHalf {
		first, second = second, first
	}
	n := len(first) + len(second)
	if d := len(first) - len(second); d < 0 || d > 1 || n > packet.Size {
		return nil
	}
	b := o.hold(n)
	return append(append(b, first...), second...)
}
