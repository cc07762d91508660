package compare

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

func never(Cell, error) bool { return false }

func open(t *testing.T, p *Plan) *Store {
	t.Helper()
	s, err := Open(t.TempDir(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestTogetherAndApart: in virtual time so many at once, in namespaces one
// after the other.
func TestTogetherAndApart(t *testing.T) {
	for backend, want := range map[string]int32{"virtual": 3, scenario.Namespaces: 1} {
		p := planOf(t, backend, text)
		var now, most atomic.Int32
		var met sync.WaitGroup // the first so many wait for each other
		met.Add(int(want))
		var first atomic.Int32
		r := Runner{Workers: 3, Fatal: never, Exec: func(ctx context.Context, sc *scenario.Scenario, b string) (*report.Result, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			if first.Add(1) <= want {
				met.Done()
				met.Wait()
			}
			defer now.Add(-1)
			return pretend(ctx, sc, b)
		}}
		if err := r.Run(t.Context(), p, open(t, p), p.Cells()); err != nil {
			t.Fatal(err)
		}
		if most.Load() != want {
			t.Errorf("%s: %d at once, want %d", backend, most.Load(), want)
		}
	}
}

// TestBrokenCell: a cell that breaks has its reason, and the others go on.
func TestBrokenCell(t *testing.T) {
	p := planOf(t, "virtual", text)
	s := open(t, p)
	var last Progress
	r := Runner{Workers: 1, Fatal: never, Progress: func(now Progress) { last = now },
		Exec: func(ctx context.Context, sc *scenario.Scenario, b string) (*report.Result, error) {
			if sc.Client["scheduler"] == "bad" {
				return nil, errors.New("the emulator died")
			}
			return pretend(ctx, sc, b)
		}}
	if err := r.Run(t.Context(), p, s, p.Cells()); err != nil {
		t.Fatal(err)
	}
	if last.Done != len(p.Cells()) || last.Total != last.Done || last.Left != 0 {
		t.Errorf("at the end: %+v", last)
	}
	sum := summarise(p, s.Records())
	if sum.Cells.Failed != p.Runs || sum.Cells.Usable != sum.Cells.Planned-p.Runs || len(sum.Failures) != p.Runs || sum.Failures[0].Reason != "the emulator died" {
		t.Errorf("%+v, %v", sum.Cells, sum.Failures)
	}
	if left := s.Left(p.Cells()); len(left) != p.Runs {
		t.Errorf("%d to run again", len(left))
	}
}

func TestFatal(t *testing.T) {
	p := planOf(t, "virtual", text)
	s := open(t, p)
	machine := errors.New("not root")
	r := Runner{Workers: 2, Fatal: func(_ Cell, err error) bool { return errors.Is(err, machine) },
		Exec: func(context.Context, *scenario.Scenario, string) (*report.Result, error) { return nil, machine }}
	if err := r.Run(t.Context(), p, s, p.Cells()); !errors.Is(err, machine) {
		t.Errorf("got %v", err)
	}
	if len(s.Records()) > 0 {
		t.Errorf("kept %v", s.Records())
	}
}

// TestInterrupt: a run that was broken off is not kept, whatever it returned.
func TestInterrupt(t *testing.T) {
	p := planOf(t, "virtual", text)
	s := open(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	var runs atomic.Int32
	r := Runner{Workers: 1, Fatal: never, Exec: func(ctx context.Context, sc *scenario.Scenario, b string) (*report.Result, error) {
		if runs.Add(1) == 4 {
			cancel()
			return nil, errors.New("signal: killed")
		}
		return pretend(ctx, sc, b)
	}}
	if err := r.Run(ctx, p, s, p.Cells()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := len(s.Records()); n != 3 || runs.Load() != 4 {
		t.Errorf("kept %d of %d", n, runs.Load())
	}
}
