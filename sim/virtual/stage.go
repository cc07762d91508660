package virtual

import (
	"fmt"
	"math"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/sim/link"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Direction is a way through a link.
type Direction uint8

// The directions.
const (
	Up   Direction = iota // client to server
	Down                  // server to client
)

func (d Direction) String() string { return [...]string{"up", "down"}[d] }

// stage is one link model on the way of a packet: a link's own, or that of a
// bottleneck that several links share.
type stage struct {
	sim   *Simulation
	model *link.Model
	delay time.Duration // of the empty model, without jitter
	next  int64         // when the model wants to be looked at
}

// parcel is an outer packet on its way over a link.
type parcel struct {
	link      *Link
	direction Direction
	// data is a datagram of the tunnel, or an IP packet that goes past it.
	data   []byte
	tunnel bool
	// Of a datagram: the control connection whose keys sealed it, and the
	// path as its receiver will see it.
	generation uint32
	path       core.Path
	size       int // bytes of the outer IP packet
	hop        int // the stage it is in
}

func (s *Simulation) newStage(im scenario.Impairment, parts ...string) (*stage, error) {
	cfg, err := modelConfig(im)
	if err != nil {
		return nil, err
	}
	st := &stage{sim: s, model: link.New(cfg, s.seedOf(parts...)), delay: cfg.Delay, next: never}
	st.model.Clone = s.clone
	s.stages = append(s.stages, st)
	return st, nil
}

// ethernet is the largest packet of a link that gives no MTU.
const ethernet = 1500

// modelConfig is an impairment as the link model takes it.
func modelConfig(im scenario.Impairment) (link.Config, error) {
	cfg, err := im.LinkConfig()
	if cfg.BlockUDP {
		return cfg, fmt.Errorf("block: udp is %w: nothing else carries the tunnel's data there", ErrUnsupported)
	}
	if cfg.MTU == 0 {
		cfg.MTU = ethernet
	}
	return cfg, err
}

// enter hands a parcel to the stage it has come to.
func (st *stage) enter(p *parcel) {
	now := st.sim.clock.now
	verdict := st.model.Enqueue(now, link.Packet{Data: p.data, Size: p.size, Tag: p})
	st.look()
	st.sim.note(p, verdict)
	if verdict != link.Accepted {
		st.sim.release(p)
	}
}

// step passes on the next packet that has left the model.
func (st *stage) step() {
	p, ok := st.model.Pop(st.sim.clock.now)
	st.look()
	if !ok {
		return
	}
	st.sim.forward(p.Tag.(*parcel))
}

// look notes when the model is to be looked at again.
func (st *stage) look() {
	st.next = never
	if at, ok := st.model.Next(); ok {
		// A reordered packet may have left before now.
		st.next = max(at, st.sim.clock.now)
	}
}

// set changes the impairments.
func (st *stage) set(im scenario.Impairment) error {
	cfg, err := modelConfig(im)
	if err != nil {
		return err
	}
	st.model.Set(st.sim.clock.now, cfg)
	st.delay = cfg.Delay
	st.look()
	return nil
}

// clone copies a packet that a model duplicates.
func (s *Simulation) clone(p link.Packet) (link.Packet, bool) {
	twin := s.newParcel(p.Data)
	data := twin.data
	*twin = *p.Tag.(*parcel)
	twin.data = data
	return link.Packet{Data: data, Size: p.Size, Tag: twin}, true
}

// newParcel makes a parcel of a copy of data.
func (s *Simulation) newParcel(data []byte) *parcel {
	var p *parcel
	if n := len(s.spare); n > 0 {
		p = s.spare[n-1]
		s.spare = s.spare[:n-1]
	} else {
		p = &parcel{}
	}
	*p = parcel{data: append(p.data[:0], data...)}
	return p
}

// release keeps a parcel's memory for the next one.
func (s *Simulation) release(p *parcel) { s.spare = append(s.spare, p) }

// forward brings a parcel to its next stage, or to its destination.
func (s *Simulation) forward(p *parcel) {
	way := p.link.ways[p.direction]
	p.hop++
	if p.hop < len(way) {
		way[p.hop].enter(p)
		return
	}
	s.note(p, arrived)
	if p.tunnel {
		p.link.datagram(p)
	} else {
		p.link.bare(p)
	}
	s.release(p)
}

// arrived is the verdict of the log on a parcel that came through.
const arrived link.Verdict = math.MaxUint8
