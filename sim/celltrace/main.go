// Command celltrace generates a trace of a cellular link in mahimahi's format.
//
//	go run ./sim/celltrace > scenarios/traces/cellular.trace
//
// The link is the one that Sprout assumes (Winstein, Sivaraman, Balakrishnan,
// NSDI 2013): packets leave as a Poisson process whose rate wanders in Brownian
// motion, here between two bounds; now and then, as at a handover, nothing
// leaves for a while. The same seed gives the same trace.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
)

// model is a cellular link. Rates are in packets of 1500 bytes per second.
type model struct {
	seed    uint64
	seconds int
	start   float64
	low     float64 // the rate is reflected here
	high    float64
	wander  float64 // standard deviation of the rate's change over a second
	outages float64 // per second
	outage  float64 // mean length in s
}

// cellular is the link of scenarios/traces/cellular.trace: 12 Mbit/s at first,
// from 1.5 to 30 Mbit/s, an outage of 0.2 s every 15 s.
var cellular = model{seed: 1, seconds: 60, start: 1000, low: 125, high: 2500, wander: 450, outages: 1. / 15, outage: 0.2}

func main() {
	m := cellular
	flag.Uint64Var(&m.seed, "seed", m.seed, "seed of the trace")
	flag.IntVar(&m.seconds, "seconds", m.seconds, "length of the trace")
	flag.Parse()
	out := bufio.NewWriter(os.Stdout)
	err := m.write(out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "celltrace:", err)
		os.Exit(1)
	}
}

// write writes a line for each packet that can leave. The last stamp, at which
// the trace starts over, is the end.
func (m model) write(w io.Writer) error {
	const step = 1e-3 // s
	random := rand.New(rand.NewPCG(m.seed, 0))
	rate, out := m.start, 0.0 // out: how long the outage still is
	end := m.seconds * 1000
	for ms := 1; ms < end; ms++ {
		rate = m.reflect(rate + random.NormFloat64()*m.wander*math.Sqrt(step))
		if random.Float64() < m.outages*step {
			out = random.ExpFloat64() * m.outage
		}
		n := poisson(random, rate*step)
		if out > 0 {
			out -= step
			continue
		}
		for range n {
			if _, err := fmt.Fprintln(w, ms); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintln(w, end)
	return err
}

func (m model) reflect(rate float64) float64 {
	switch {
	case rate < m.low:
		return 2*m.low - rate
	case rate > m.high:
		return 2*m.high - rate
	}
	return rate
}

// poisson draws a number of events by Knuth's method, which is right for few.
func poisson(random *rand.Rand, mean float64) int {
	limit, n := math.Exp(-mean), 0
	for p := random.Float64(); p > limit; p *= random.Float64() {
		n++
	}
	return n
}
