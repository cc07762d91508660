package emu

// frameBytes is the size of a frame's buffer: MaxMTU, an Ethernet header and
// some room.
const frameBytes = 2048

// maxFrames bounds the frames of one emulator: 128 MiB.
const maxFrames = 1 << 16

// etherHeader is the length of an Ethernet header.
const etherHeader = 14

// frame is one frame inside the emulator.
type frame struct {
	bytes [frameBytes]byte
	size  int
	lane  *lane
	route []*hop
	hop   int   // index into route of the model that holds it
	due   int64 // when it is to be sent
}

func (f *frame) data() []byte { return f.bytes[:f.size] }

// pool keeps frames for reuse. It belongs to the loop's thread.
type pool struct {
	free []*frame
	made int
}

// slab is the number of frames made at a time.
const slab = 64

// get returns a frame, nil when all are in use.
func (p *pool) get() *frame {
	if len(p.free) == 0 {
		if p.made == maxFrames {
			return nil
		}
		p.made += slab
		frames := make([]frame, slab)
		for i := range frames {
			p.free = append(p.free, &frames[i])
		}
	}
	f := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return f
}

// put takes a frame back.
func (p *pool) put(f *frame) {
	f.lane, f.route = nil, nil
	p.free = append(p.free, f)
}
