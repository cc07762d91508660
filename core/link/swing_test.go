package link

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// TestSwing: what jumps and falls back is jitter, what creeps or goes one way is
// none.
func TestSwing(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		about string
		delay func(i int) time.Duration // of the report at i * 5 ms
		want  time.Duration
	}{
		{"steady", func(int) time.Duration { return 20 * ms }, 0},
		{"a queue that grows", func(i int) time.Duration { return time.Duration(i) * ms }, 0},
		{"a queue that drains", func(i int) time.Duration { return time.Duration(1000-i) * ms }, 0},
		{"bursts of our own", func(i int) time.Duration { return time.Duration(20+i%2*4) * ms }, 0},
		{"a queue that comes and goes", func(i int) time.Duration { return time.Duration(20+min(i%20, 20-i%20)*2) * ms }, 0},
		{"a late packet, and those behind it", func(i int) time.Duration { return time.Duration(40-i%5*5) * ms }, 16 * ms},
		{"more than may be", func(i int) time.Duration { return time.Duration(400-i%5*50) * ms }, swingMost},
	} {
		var s swing
		for i := range 500 {
			s.add(core.Time(i)*core.Time(5*ms), c.delay(i))
		}
		if d := (s.value - c.want).Abs(); d > ms {
			t.Errorf("%s: %v, want %v", c.about, s.value, c.want)
		}
	}
}

// TestSwingFades: a link that has become steady is believed so after a while.
func TestSwingFades(t *testing.T) {
	s := swing{value: swingMost}
	for i := range 4000 {
		s.add(core.Time(i)*core.Time(5*time.Millisecond), 20*time.Millisecond)
	}
	if s.value > 3*time.Millisecond {
		t.Errorf("still %v after 20 s", s.value)
	}
}
