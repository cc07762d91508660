package emu

import (
	"testing"

	"github.com/multilink-vpn/multilink/sim/link"
)

// TestFramesAreBounded begins just below the limit, whose 128 MiB nobody has to
// make for it.
func TestFramesAreBounded(t *testing.T) {
	p := pool{made: maxFrames - slab}
	var last *frame
	for i := range slab {
		if last = p.get(); last == nil {
			t.Fatalf("no frame %d below the limit", i)
		}
	}
	if p.get() != nil || p.made != maxFrames {
		t.Errorf("a frame above the limit, or %d made", p.made)
	}
	p.put(last)
	if p.get() != last {
		t.Error("a frame that was put back is not used again")
	}
}

// TestFullPoolIsCounted has no frame left to duplicate a packet into.
func TestFullPoolIsCounted(t *testing.T) {
	l := &loop{pool: pool{made: maxFrames}}
	if _, ok := l.clone(link.Packet{Tag: new(frame)}); ok || l.drops.Memory != 1 {
		t.Errorf("duplicated: %v, %d counted", ok, l.drops.Memory)
	}
}
