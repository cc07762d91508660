package meter

import (
	"fmt"

	"github.com/multilink-vpn/multilink/sim/report"
)

// Outcome is what a traffic found.
type Outcome struct {
	// Values are the measurements by name, nested where a name has dots.
	Values map[string]any
	// Series are measurements over time by name.
	Series map[string]report.Series
	// Faults are findings that no run may pass with: content that changed on
	// its way.
	Faults []string
	// Notes say what went wrong short of that: connections that broke,
	// requests that failed.
	Notes []string
}

// MaxNotes bounds the notes and the faults of one direction of a traffic; what
// exceeds it is not kept.
const MaxNotes = 20

// Note adds a note.
func (o *Outcome) Note(format string, args ...any) {
	if len(o.Notes) < MaxNotes {
		o.Notes = append(o.Notes, fmt.Sprintf(format, args...))
	}
}

// Fault adds a fault.
func (o *Outcome) Fault(format string, args ...any) {
	if len(o.Faults) < MaxNotes {
		o.Faults = append(o.Faults, fmt.Sprintf(format, args...))
	}
}

// Both joins the outcomes of a traffic's two directions: values and series are
// under "down" and "up".
func Both(down, up Outcome) Outcome {
	all := Outcome{
		Values: map[string]any{"down": down.Values, "up": up.Values},
		Series: map[string]report.Series{},
		Faults: append(down.Faults[:len(down.Faults):len(down.Faults)], up.Faults...),
		Notes:  append(down.Notes[:len(down.Notes):len(down.Notes)], up.Notes...),
	}
	for name, series := range down.Series {
		all.Series["down."+name] = series
	}
	for name, series := range up.Series {
		all.Series["up."+name] = series
	}
	return all
}
