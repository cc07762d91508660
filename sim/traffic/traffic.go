// Package traffic holds the testbed's generators and their meters. Each runs
// between two ends in network namespaces: a client, and a host behind the
// server. Sockets are made inside the namespaces and used from any goroutine.
//
// Every meter measures at the receiving application, except the share of
// reordered packets, which a capture at the receiving machine counts.
package traffic

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netns"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// End is one side of a traffic: where its sockets are made.
type End struct {
	NS netns.NsHandle
	// Addr is the address the host listens on. Unused at the client, whose
	// kernel chooses by its routes.
	Addr netip.Addr
	// Device binds the client's sockets to an interface; "" does not.
	Device string
	// Mark is the client's SO_MARK; 0 sets none.
	Mark uint32
	// Multipath makes TCP sockets MPTCP ones.
	Multipath bool
}

// Job is one traffic of a scenario, ready to run.
type Job struct {
	scenario.Traffic
	Client, Host End
	// Origin is the moment the run's time counts from.
	Origin time.Time
	// Warmup is left out of goodput, from the start of this traffic on.
	Warmup time.Duration
	// Until is when the run ends, for traffic that has no end of its own.
	Until time.Duration
	// Seed makes the content that is sent.
	Seed uint64
}

// Run runs the traffic from its start to its end and returns what it found.
// The error is about what could not even be tried; when ctx ends first, the
// error is the context's.
func Run(ctx context.Context, j Job) (meter.Outcome, error) {
	run, ok := map[string]func(context.Context, Job) (meter.Outcome, error){
		"tcp":  runTCP,
		"udp":  runUDP,
		"rtp":  runCall,
		"ping": runPing,
		"http": runHTTP,
		"dns":  runDNS,
	}[j.Kind]
	if !ok {
		return meter.Outcome{}, fmt.Errorf("traffic %s: no kind %q", j.Name, j.Kind)
	}
	out, err := run(ctx, j)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return meter.Outcome{}, fmt.Errorf("traffic %s: %w", j.Name, err)
	}
	return out, nil
}

// now is the time of the run.
func (j Job) now() time.Duration { return time.Since(j.Origin) }

// end is the time of the run at which the traffic stops, done or not.
func (j Job) end() time.Duration { return j.End(j.Until) }

// deadline is end as a moment.
func (j Job) deadline() time.Time { return j.Origin.Add(j.end()) }

// waitStart sleeps until the traffic starts.
func (j Job) waitStart(ctx context.Context) error {
	return SleepUntil(ctx, j.Origin.Add(j.Start))
}

// delivered is what meters found of the traffic, which was over at end.
func (j Job) delivered(end time.Duration, meters ...*meter.Meter) meter.Delivery {
	return meter.Delivery{Total: meter.Sum(meters...), Start: j.Start, Warm: j.Start + j.Warmup, End: end}
}

// directions are the ways data goes, "down" (to the client) first.
func (j Job) directions() []string {
	if j.Direction == "both" {
		return []string{"down", "up"}
	}
	if j.Direction == "up" {
		return []string{"up"}
	}
	return []string{"down"}
}

// collect joins the outcomes of the directions: as they are for one direction,
// under "down" and "up" for both.
func (j Job) collect(found []meter.Outcome) meter.Outcome {
	if len(found) == 1 {
		return found[0]
	}
	return meter.Both(found[0], found[1])
}

// oneWay is one direction of a traffic, with its sockets open.
type oneWay interface {
	run(context.Context) meter.Outcome
	close()
}

// runDirections opens every direction of a traffic before its start, then runs
// them side by side.
func runDirections[T oneWay](ctx context.Context, j Job, open func(context.Context, Job, string) (T, error)) (meter.Outcome, error) {
	var ways []T
	defer func() {
		for _, way := range ways {
			way.close()
		}
	}()
	for _, direction := range j.directions() {
		way, err := open(ctx, j, direction)
		if err != nil {
			return meter.Outcome{}, err
		}
		ways = append(ways, way)
	}
	if err := j.waitStart(ctx); err != nil {
		return meter.Outcome{}, err
	}
	found := make([]meter.Outcome, len(ways))
	var running sync.WaitGroup
	for i, way := range ways {
		running.Go(func() { found[i] = way.run(ctx) })
	}
	running.Wait()
	return j.collect(found), nil
}

// SleepUntil sleeps until a moment, or returns the error of ctx, which has ended
// before.
func SleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
