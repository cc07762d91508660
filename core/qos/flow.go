package qos

import (
	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

// Bounds of the table of flows. A new flow takes the place of the one in its set
// that was silent for longest, which then is no longer slowed down.
const (
	flowSets   = 256
	flowWays   = 4
	maxSegment = 1500
)

// tcpFlow is a TCP connection whose beginning was seen.
type tcpFlow struct {
	hash      uint32
	used      core.Time // when a packet last came; 0: free
	own, peer windowScale
	priority  uint8
	segment   int // bytes of the largest that came
	received  int // bytes in this interval
	rate      float64
	limit     float64 // window in bytes; 0: as announced
}

// windowScale is what a SYN said of it.
type windowScale struct {
	valid, there bool
	shift        uint8
}

// scale is the shift of the windows that this end announces: both ends must have
// asked for scaling (RFC 7323, section 2.2).
func (f *tcpFlow) scale() (shift uint8, known bool) {
	if !f.own.valid || !f.peer.valid {
		return 0, false
	}
	if !f.own.there || !f.peer.there {
		return 0, true
	}
	return f.own.shift, true
}

// flowTable finds flows by their hash.
type flowTable struct {
	sets [flowSets][flowWays]tcpFlow
}

func (t *flowTable) find(hash uint32) *tcpFlow {
	set := &t.sets[hash%flowSets]
	for i := range set {
		if set[i].used != 0 && set[i].hash == hash {
			return &set[i]
		}
	}
	return nil
}

// open begins a flow, or begins it anew.
func (t *flowTable) open(hash uint32, now core.Time) *tcpFlow {
	f := t.find(hash)
	if f == nil {
		set := &t.sets[hash%flowSets]
		f = &set[0]
		for i := range set {
			if set[i].used < f.used {
				f = &set[i]
			}
		}
	}
	*f = tcpFlow{hash: hash, used: max(now, 1), priority: Lowest}
	return f
}

// of returns the flow of a TCP header, nil when it is not known: a SYN opens it,
// its answer only if it is not there.
func (t *flowTable) of(now core.Time, hash uint32, tcp []byte) (f *tcpFlow, syn bool) {
	f = t.find(hash)
	syn = tcp[13]&flagSYN != 0
	if syn && (f == nil || tcp[13]&flagACK == 0) {
		f = t.open(hash, now)
	}
	return f, syn
}

func (t *flowTable) each(visit func(*tcpFlow)) {
	for i := range t.sets {
		for j := range t.sets[i] {
			if f := &t.sets[i][j]; f.used != 0 {
				visit(f)
			}
		}
	}
}

// TCP flags and options (RFC 9293, section 3.1; RFC 7323, section 2).
const (
	flagSYN = 0x02
	flagACK = 0x10

	optionEnd   = 0
	optionNop   = 1
	optionScale = 3
	scaleLen    = 3
	maxShift    = 14
	tcpLen      = 20
)

// tcpOf returns the TCP header of a packet with its options.
func tcpOf(p []byte) (h gso.Headers, tcp []byte, ok bool) {
	h, err := gso.ParseHeaders(p)
	if err != nil || h.Protocol != gso.ProtocolTCP {
		return h, nil, false
	}
	return h, p[h.Transport:h.Len], true
}

// scaleOf reads the window scale of a SYN. One that is there twice, is too large
// or stands among malformed options is not valid.
func scaleOf(tcp []byte) windowScale {
	var w windowScale
	for o := tcp[tcpLen:]; len(o) > 0 && o[0] != optionEnd; {
		if o[0] == optionNop {
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return w
		}
		if o[0] == optionScale {
			if o[1] != scaleLen || o[2] > maxShift || w.there {
				return w
			}
			w.there, w.shift = true, o[2]
		}
		o = o[o[1]:]
	}
	w.valid = true
	return w
}
