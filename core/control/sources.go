package control

import (
	"container/list"
	"net"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// source is where connections come from, as far as bounds are concerned: an
// IPv4 address, or the /64 that one subscriber of IPv6 has at least. The zero
// source stands for anything that is not an IP address.
type source = netip.Prefix

func sourceOf(addr net.Addr) source {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return source{}
	}
	a := ap.Addr().Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return source{}
	}
	return p
}

// pending is a connection whose client is not known yet.
type pending struct {
	conn    net.Conn
	from    source
	evicted bool
	place   *list.Element
}

// halfOpen is the bounded set of pending connections. It is not safe for
// concurrent use.
type halfOpen struct {
	limit, perSource int
	count            int
	sources          map[source]*list.List // of *pending, the oldest first
}

// add takes p in and returns the one that has to go for it, if any: the oldest
// of p's own source when that has its share, else the oldest of the source
// that has most. So who floods evicts itself first.
func (h *halfOpen) add(p *pending) (evicted *pending, own bool) {
	if l := h.sources[p.from]; l != nil && l.Len() >= h.perSource {
		evicted, own = l.Front().Value.(*pending), true
	} else if h.count >= h.limit {
		evicted = h.heaviest().Front().Value.(*pending)
	}
	if evicted != nil {
		evicted.evicted = true
		h.remove(evicted)
	}
	l := h.sources[p.from]
	if l == nil {
		l = list.New()
		h.sources[p.from] = l
	}
	p.place = l.PushBack(p)
	h.count++
	return evicted, own
}

func (h *halfOpen) heaviest() (most *list.List) {
	for _, l := range h.sources {
		if most == nil || l.Len() > most.Len() {
			most = l
		}
	}
	return most
}

// remove takes p out; it may be out already.
func (h *halfOpen) remove(p *pending) {
	if p.place == nil {
		return
	}
	l := h.sources[p.from]
	l.Remove(p.place)
	p.place = nil
	h.count--
	if l.Len() == 0 {
		delete(h.sources, p.from)
	}
}

// rates bounds how often each source may connect. It knows a bounded number of
// sources and forgets the one that was quiet the longest. It is not safe for
// concurrent use.
type rates struct {
	limit   rate.Limit // connections per second
	burst   int
	known   int // bound of sources
	sources map[source]*list.Element
	order   *list.List // of *sourceRate, the one quiet the longest first
}

type sourceRate struct {
	from    source
	limiter *rate.Limiter
}

func newRates(perSecond float64, burst, known int) *rates {
	return &rates{
		limit: rate.Limit(perSecond), burst: burst, known: known,
		sources: map[source]*list.Element{}, order: list.New(),
	}
}

// allow says whether one more connection may come from there now.
func (r *rates) allow(from source, now time.Time) bool {
	e := r.sources[from]
	if e == nil {
		if r.order.Len() >= r.known {
			oldest := r.order.Remove(r.order.Front()).(*sourceRate)
			delete(r.sources, oldest.from)
		}
		e = r.order.PushBack(&sourceRate{from: from, limiter: rate.NewLimiter(r.limit, r.burst)})
		r.sources[from] = e
	}
	r.order.MoveToBack(e)
	return e.Value.(*sourceRate).limiter.AllowN(now, 1)
}
