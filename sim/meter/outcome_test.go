package meter

import (
	"reflect"
	"testing"

	"github.com/multilink-vpn/multilink/sim/report"
)

func TestBoth(t *testing.T) {
	down := Outcome{Values: map[string]any{"bytes": 1}, Series: map[string]report.Series{"goodput": {T: []float64{1}}}}
	up := Outcome{Values: map[string]any{"bytes": 2}, Series: map[string]report.Series{"goodput": {T: []float64{2}}}}
	down.Note("n%d", 1)
	up.Note("n%d", 2)
	up.Fault("f")
	want := Outcome{
		Values: map[string]any{"down": down.Values, "up": up.Values},
		Series: map[string]report.Series{"down.goodput": {T: []float64{1}}, "up.goodput": {T: []float64{2}}},
		Faults: []string{"f"},
		Notes:  []string{"n1", "n2"},
	}
	if got := Both(down, up); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestNotesAreBounded(t *testing.T) {
	var o Outcome
	for range 10 * MaxNotes {
		o.Note("note")
		o.Fault("fault")
	}
	if len(o.Notes) != MaxNotes || len(o.Faults) != MaxNotes {
		t.Errorf("%d notes and %d faults", len(o.Notes), len(o.Faults))
	}
}
