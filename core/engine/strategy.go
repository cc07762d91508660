package engine

import (
	"slices"

	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/reseq"
	"github.com/multilink-vpn/multilink/core/sched"
	"github.com/multilink-vpn/multilink/core/session"
)

// side is what one end of a session does under a strategy.
type side struct {
	send    session.Strategy
	reorder string // of what it receives
}

// clientSide returns what the client does.
func clientSide(st control.Strategy) side { return newSide(st, st.Scheduler.Up, st.Reorder.Down) }

// serverSide returns what the server does.
func serverSide(st control.Strategy) side { return newSide(st, st.Scheduler.Down, st.Reorder.Up) }

func newSide(st control.Strategy, scheduler, reorder string) side {
	return side{
		send: session.Strategy{
			Scheduler:   scheduler,
			RateControl: st.RateControl,
			Retransmit:  st.Retransmit,
			Equalize:    st.Equalize,
			Classifier:  st.Classifier,
			Reports:     st.Reports,
		},
		reorder: reorder,
	}
}

// agree returns the strategy that comes into force when a client asks for one:
// what it asks for, except that the server's own choice takes the place of
// names that this server does not know.
func agree(asked, own control.Strategy) control.Strategy {
	st := asked
	known := func(name *string, otherwise string, names []string) {
		if !slices.Contains(names, *name) {
			*name = otherwise
		}
	}
	known(&st.Scheduler.Up, own.Scheduler.Up, sched.Names())
	known(&st.Scheduler.Down, own.Scheduler.Down, sched.Names())
	known(&st.Reorder.Up, own.Reorder.Up, reseq.Names())
	known(&st.Reorder.Down, own.Reorder.Down, reseq.Names())
	known(&st.Equalize, own.Equalize, session.EqualizeModes())
	known(&st.Reports, own.Reports, session.ReportModes())
	known(&st.Classifier, own.Classifier, classify.Names())
	return st
}

// set makes a driver work as a side of a strategy.
func (s side) set(d *driver) error {
	if err := d.SetReorder(s.reorder); err != nil {
		return err
	}
	return d.SetStrategy(s.send)
}

// direction shows a choice for people.
func direction(d control.PerDirection) string {
	if d.Up == d.Down {
		return d.Up
	}
	return "up " + d.Up + ", down " + d.Down
}
