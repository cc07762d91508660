package emu

import (
	"context"
	"strings"
	"testing"
	"time"
)

// The figures depend on the machine, so the test asks only that there are
// some. Run it with -v to read them.
func TestCalibrate(t *testing.T) {
	needRoot(t)
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	for _, spin := range []bool{false, true} {
		r, err := Calibrate(context.Background(), CalibrateOptions{Spin: spin, Duration: 500 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("\n%s", r)
		if len(r.Rates) != len(calibrationRates) || r.Health.Departures == 0 || r.ProbeP50 == 0 || r.Loss.Sent != lossPackets {
			t.Errorf("something was not measured: %+v", r)
		}
		// The seed decides which of the packets are lost, not the machine.
		if r.Loss.Lost < r.Loss.Least || r.Loss.Lost > r.Loss.Most {
			t.Errorf("loss %+v", r.Loss)
		}
		for _, c := range r.Rates {
			if c.Measured == 0 || c.Measured > 1.05*c.Target {
				t.Errorf("rate %+v", c)
			}
		}
		if !strings.Contains(r.String(), "hidden drops") {
			t.Errorf("report %q", r)
		}
	}
}

func TestJudgeLoss(t *testing.T) {
	if c := judgeLoss(10000, 90); c.Least != 75 || c.Most != 125 {
		t.Errorf("interval %d to %d, want 75 to 125", c.Least, c.Most)
	}
}
