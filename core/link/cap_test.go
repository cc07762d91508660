package link

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// A capped sender, asked all the time, sends what the cap allows and no more,
// with and without a window, and after an idle time as well.
func TestCap(t *testing.T) {
	const rate, size = 125_000.0, 1000 // bytes/s: 1 Mbit/s
	s := NewSender(false)
	s.SetCap(rate)
	now := core.Time(time.Hour)
	send := func(d time.Duration) (bytes int) {
		for end := now.Add(d); now < end; {
			open, at := s.Open(now)
			if !open {
				now = at
				continue
			}
			s.Sent(now, size, bytes%2 == 0, nil, wire.Whole) // reports count as well
			bytes += size
		}
		return bytes
	}
	most := func(d time.Duration) int { return int(rate*(d+capBurst).Seconds()) + size }
	for _, d := range []time.Duration{time.Second, 10 * time.Second} {
		if got := send(d); got > most(d) || got < int(rate*d.Seconds())-size {
			t.Errorf("%d bytes in %v, want about %.0f", got, d, rate*d.Seconds())
		}
		now = now.Add(time.Minute) // idle: credit for a burst, not for a minute
	}
	s.SetCap(0)
	if open, _ := s.Open(now); !open {
		t.Error("closed without a cap")
	}
}

func TestCapBoundsTheEstimate(t *testing.T) {
	s := NewSender(true)
	e := Estimate{Known: true, SRTT: 100 * time.Millisecond, Rate: 1e6, Window: 1 << 20}
	if got := s.capped(e); got != e {
		t.Errorf("without a cap %+v, want it unchanged", got)
	}
	s.SetCap(1e5)
	if got := s.capped(e); got.Rate != 1e5 || got.Window != 12500 {
		t.Errorf("rate %v, window %d, want 1e5 and 12500", got.Rate, got.Window)
	}
}
