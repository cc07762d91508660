package session

import (
	"slices"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// rules sets the policy of a link at both ends.
func (w *world) rules(id core.LinkID, p Policy) {
	for _, e := range w.ends {
		e.s.SetPolicy(w.now, id, p, &e.out)
		w.carryOut(e)
	}
}

// sentOn is how many bytes the server has sent on a link since the last call.
func (w *world) sentOn(id core.LinkID, since *uint64) uint64 {
	n := w.ends[server].s.Snapshot(w.now).Links[id].TxBytes
	d := n - *since
	*since = n
	return d
}

func TestBackupWaitsForActiveLinksToGo(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	w.rules(1, Policy{Role: Backup})
	var one uint64
	w.sentOn(1, &one)
	n := w.stream(server, 10*mbit, 1000, 6*time.Second)
	w.run(2 * time.Second)
	if got := w.sentOn(1, &one); got > 5000 {
		t.Errorf("the backup carried %d bytes beside an active link", got)
	}
	w.ends[server].pipes[0].dead, w.ends[client].pipes[0].dead = true, true
	w.ends[client].at = w.ends[client].at[:0]
	w.run(2 * time.Second)
	var stall time.Duration
	for i, at := range w.ends[client].at[1:] {
		stall = max(stall, at.Sub(w.ends[client].at[i]))
	}
	if t.Logf("longest gap in delivery %v", stall); stall > 200*time.Millisecond {
		t.Errorf("longest gap in delivery %v", stall)
	}
	if got := w.sentOn(1, &one); got < 1_000_000 {
		t.Errorf("the backup carried %d bytes of a silent link's", got)
	}
	w.ends[server].pipes[0].dead, w.ends[client].pipes[0].dead = false, false
	w.run(time.Second)
	w.sentOn(1, &one)
	w.run(4 * time.Second)
	if got := w.sentOn(1, &one); got > 5000 {
		t.Errorf("the backup carried %d bytes after the active link was back", got)
	}
	w.wantAll(n)
}

// A link that passes its limit calls the backups after a second, and they stay
// until it has kept well below it for five.
func TestBackupHelpsPoorLinks(t *testing.T) {
	for name, c := range map[string]struct {
		policy     Policy
		spoil, fix func(*pipe)
	}{
		"delay": {Policy{MaxRTT: 100 * time.Millisecond},
			func(p *pipe) { p.delay = 200 * time.Millisecond }, func(p *pipe) { p.delay = 10 * time.Millisecond }},
		"loss": {Policy{MaxLoss: 0.05},
			func(p *pipe) { p.loss = 0.3 }, func(p *pipe) { p.loss = 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			w := twoLinks(t, wholeStrategy)
			w.rules(0, c.policy)
			w.rules(1, Policy{Role: Backup})
			w.stream(server, 4*mbit, 1000, 30*time.Second)
			var one uint64
			w.run(2 * time.Second)
			c.spoil(w.ends[server].pipes[0])
			w.run(3 * time.Second)
			w.sentOn(1, &one)
			w.run(2 * time.Second)
			if got := w.sentOn(1, &one); got < 200_000 {
				t.Errorf("the backup carried %d bytes beside a poor link", got)
			}
			c.fix(w.ends[server].pipes[0])
			w.run(15 * time.Second)
			w.sentOn(1, &one)
			w.run(3 * time.Second)
			if got := w.sentOn(1, &one); got > 10_000 {
				t.Errorf("the backup carried %d bytes beside a link that does well again", got)
			}
		})
	}
}

func TestGradeHasHysteresis(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	l := w.ends[server].s.links[0]
	l.obey(Policy{MaxLoss: 1e-9, MaxRTT: time.Hour})
	l.policy.MaxRTT = time.Nanosecond // poor at any time
	at := w.now
	for _, c := range []struct {
		after time.Duration
		poor  bool
	}{{0, false}, {poorAfter - 1, false}, {1, true}, {time.Hour, true}} {
		at = at.Add(c.after)
		if l.grade(at); l.quality.poor != c.poor {
			t.Errorf("%v after the first look: poor %v", at.Sub(w.now), l.quality.poor)
		}
	}
	l.policy = Policy{MaxRTT: time.Hour}
	for _, c := range []struct {
		after time.Duration
		poor  bool
	}{{0, true}, {goodAfter - 1, true}, {1, false}} {
		at = at.Add(c.after)
		if l.grade(at); l.quality.poor != c.poor {
			t.Errorf("%v after it did well: poor %v", at.Sub(w.now), l.quality.poor)
		}
	}
}

func TestCapHoldsUnderRepairsAndReports(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	const limit = 2 * mbit
	w.rules(0, Policy{Cap: limit})
	w.ends[server].pipes[0].loss = 0.02
	w.stream(server, 30*mbit, 1000, 10*time.Second)
	w.run(time.Second)
	var zero uint64
	w.sentOn(0, &zero)
	w.run(8 * time.Second)
	if got := float64(w.sentOn(0, &zero)) / 8; got > limit*1.02 || got < limit*0.8 {
		t.Errorf("%.2f Mbit/s under a cap of %.2f", got/mbit, limit/mbit)
	}
}

func TestChangesAreTold(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	w.rules(1, Policy{Role: Backup})
	w.stream(server, 4*mbit, 1000, 4*time.Second)
	w.run(time.Second)
	w.ends[server].changes = nil
	w.ends[server].pipes[0].dead, w.ends[client].pipes[0].dead = true, true
	w.run(time.Second)
	var got []string
	called := false
	for _, c := range w.ends[server].changes {
		switch {
		case c.Kind == BackupCalled:
			called = called || c.Link == 1
		case c.Kind == StateChanged && c.Link == 0:
			got = append(got, c.Was+">"+c.Is)
		}
	}
	if len(got) < 2 || got[len(got)-1] != "suspect>down" || !called {
		t.Errorf("told %v, backups called %v", got, called)
	}
}

// TestBackupAloneIsTold: a backup that carries all from the beginning is news, and
// so is that it does no more.
func TestBackupAloneIsTold(t *testing.T) {
	w := newWorld(t, wholeStrategy, "flow")
	p := pipe{rate: 20 * mbit, delay: 10 * time.Millisecond}
	w.link(1, p, p)
	w.rules(1, Policy{Role: Backup})
	w.run(time.Second)
	w.link(0, p, p)
	w.run(time.Second)
	for i, e := range w.ends {
		var got []ChangeKind
		for _, c := range e.changes {
			if c.Kind == BackupCalled || c.Kind == BackupReleased {
				got = append(got, c.Kind)
			}
		}
		if want := []ChangeKind{BackupCalled, BackupReleased}; !slices.Equal(got, want) {
			t.Errorf("end %d told %v, want %v", i, got, want)
		}
	}
}

// TestNewKeysAreNoNews: a link that begins anew under other keys is what it was.
func TestNewKeysAreNoNews(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	w.stream(server, 4*mbit, 1000, 4*time.Second)
	w.run(time.Second)
	for _, e := range w.ends {
		e.changes = nil
	}
	p := pipe{rate: 20 * mbit, delay: 10 * time.Millisecond}
	w.link(0, p, p)
	w.run(2 * time.Second)
	for i, e := range w.ends {
		if len(e.changes) > 0 || e.s.links[0].health != up {
			t.Errorf("end %d told %v", i, e.changes)
		}
	}
}

// TestBackupIsProbedSeldom: a backup that carries nothing costs a datagram every
// two seconds, whatever the others carry.
func TestBackupIsProbedSeldom(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	w.rules(1, Policy{Role: Backup})
	w.run(time.Second)
	var one uint64
	w.sentOn(1, &one)
	w.stream(server, 4*mbit, 1000, 20*time.Second)
	w.run(20 * time.Second)
	if got, most := w.sentOn(1, &one), uint64(11*(probeLength+28)); got > most {
		t.Errorf("%d bytes on a backup in 20 s, want at most %d", got, most)
	}
}
