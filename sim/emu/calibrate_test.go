package emu

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"
)

// The figures depend on the machine, so the test asks only that there are
// some. Run it with -v to read them.
func TestCalibrate(t *testing.T) {
	needRoot(t)
	r, err := Calibrate(context.Background(), CalibrateOptions{Duration: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", r)
	if len(r.Rates) != len(calibrationRates) || r.Health.Departures == 0 || r.ProbeP50 == 0 || r.Loss.Sent != lossPackets {
		t.Errorf("something was not measured: %+v", r)
	}
	for _, c := range r.Rates {
		if c.Measured <= 0 {
			t.Errorf("rate %+v", c)
		}
	}
	// The seed decides which of the packets are lost, not the machine.
	if r.Loss.Lost < r.Loss.Least || r.Loss.Lost > r.Loss.Most {
		t.Errorf("loss %+v", r.Loss)
	}
	if !strings.Contains(r.String(), "hidden drops") {
		t.Errorf("report %q", r)
	}
}

func TestJudgeLoss(t *testing.T) {
	if c := judgeLoss(10000, 90); c.Least != 75 || c.Most != 125 {
		t.Errorf("interval %d to %d, want 75 to 125", c.Least, c.Most)
	}
}

func TestArrivalRate(t *testing.T) {
	var a arrivals
	const count = 5000
	for i := range int64(count) {
		at := int64(1e18) + i*240e3 // 1500 bytes at 50 Mbit/s
		if i == count-1 {
			at += 20e6
		}
		a.note(at)
	}
	if got := a.rate(1500); math.Abs(got/50e6-1) > 0.0001 {
		t.Errorf("rate %g, want 50 Mbit/s", got)
	}
	if got := (&arrivals{frames: 1}).rate(1500); got != 0 {
		t.Errorf("rate %g of one frame", got)
	}
}
