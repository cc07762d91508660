package compare

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Runner runs scenarios for a comparison.
type Runner struct {
	// Exec runs one scenario on a backend. It is called from several
	// goroutines at once for all backends but netns.
	Exec func(context.Context, *scenario.Scenario, string) (*report.Result, error)
	// Workers is how many scenarios may run at once, at least 1.
	Workers int
	// Fatal says that an error of a cell will be that of all others too.
	Fatal func(Cell, error) bool
	// Progress is told of each finished cell, one at a time; nil is not.
	Progress func(Progress)
}

// Progress says how far a comparison is.
type Progress struct {
	Record      Record
	Done, Total int
	Left        time.Duration // until the end, by what the cells took so far
}

// Run runs cells of a plan that was made here, and puts each into the store
// when it is finished. A cell that breaks is kept with the reason and does not
// stop the others. The error is the context's, the store's or a fatal one.
func (r *Runner) Run(ctx context.Context, p *Plan, s *Store, cells []Cell) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &work{Runner: r, plan: p, store: s, cancel: cancel, total: len(cells), began: time.Now()}
	var together, apart []Cell
	for _, c := range cells {
		if p.find(c).Backend == scenario.Namespaces {
			apart = append(apart, c) // anything beside it would disturb it
		} else {
			together = append(together, c)
		}
	}
	w.pass(ctx, together, r.Workers)
	w.pass(ctx, apart, 1)
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}

// work is a Run under way.
type work struct {
	*Runner
	plan   *Plan
	store  *Store
	cancel context.CancelCauseFunc
	total  int
	began  time.Time

	mu   sync.Mutex
	done int
}

// pass runs cells, so many at once, in their order.
func (w *work) pass(ctx context.Context, cells []Cell, workers int) {
	queue := make(chan Cell)
	var wg sync.WaitGroup
	for range min(workers, len(cells)) {
		wg.Go(func() {
			for c := range queue {
				w.cell(ctx, c)
			}
		})
	}
	for _, c := range cells {
		select {
		case queue <- c:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(queue)
	wg.Wait()
}

// cell runs one cell and keeps what it found, unless it was broken off.
func (w *work) cell(ctx context.Context, c Cell) {
	if ctx.Err() != nil {
		return
	}
	of := w.plan.find(c)
	result, err := w.Exec(ctx, of.scenarioOf(c), of.Backend)
	if ctx.Err() != nil {
		return
	}
	if err == nil && result == nil {
		err = errors.New("no result")
	}
	if err != nil && w.Fatal(c, err) {
		w.cancel(fmt.Errorf("%s, %s: %w", c.Scenario, c.Label(), err))
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	record := newRecord(c, result, err)
	if err := w.store.Append(record); err != nil {
		w.cancel(err)
		return
	}
	w.done++
	if w.Progress != nil {
		each := time.Since(w.began) / time.Duration(w.done)
		w.Progress(Progress{record, w.done, w.total, each * time.Duration(w.total-w.done)})
	}
}
