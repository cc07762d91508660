package session

import (
	"testing"
	"time"
)

// TestMissedFor: what a silent link had on its way is waited for while data comes
// over others, and where it stops everywhere when the link does not answer either.
func TestMissedFor(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	w.stream(server, 20*mbit, 1300, time.Second)
	w.run(time.Second)
	s := w.ends[client].s
	l := s.links[1]
	last := l.rx.LastReceived()
	const silence = 50 * time.Millisecond
	for name, v := range map[string]struct {
		health health
		got    time.Duration // data over another link, after the last of this one
		want   time.Duration
	}{
		"no data is sent":           {up, 0, 0},
		"data over another":         {up, silence / 2, silence / 2},
		"silent, no data":           {suspect, 0, silence},
		"down, no data":             {down, 0, silence},
		"silent, data over another": {suspect, silence / 2, silence},
		"begins":                    {probing, 0, 0},
	} {
		s.now, s.gotData, l.health = last.Add(silence), last.Add(v.got), v.health
		if got := s.missedFor(l); got != v.want {
			t.Errorf("%s: %v, want %v", name, got, v.want)
		}
		s.updateEnv()
		if waits := s.env.Outage > 0; waits != (v.want > s.env.Spread+heardOf) {
			t.Errorf("%s: an outage of %v is waited for", name, s.env.Outage)
		}
	}
}
