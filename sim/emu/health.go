package emu

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds beyond which a run says nothing about what was tested.
const (
	maxLatenessP99 = 500 * time.Microsecond
	maxHiddenDrops = 0
)

// Health says how well an Impairer kept to its models since it was made.
type Health struct {
	// Departures is the number of frames sent, whose lateness is the time
	// from the moment the model set to the hand-over to the kernel, in
	// seconds. The netem backend cannot measure it.
	Departures  int64   `json:"departures"`
	LatenessP50 float64 `json:"lateness_p50"`
	LatenessP99 float64 `json:"lateness_p99"`
	Lateness999 float64 `json:"lateness_p999"`
	LatenessMax float64 `json:"lateness_max"`
	// RateError is the largest deviation of a direction's rate from its
	// model's from one second to the next, as a share.
	RateError float64 `json:"rate_error"`
	// Drops are frames that were lost outside the models.
	Drops HiddenDrops `json:"hidden_drops"`
	// Reserved says whether the emulator's thread had processor time of its
	// own.
	Reserved bool `json:"reserved"`
	// Steal is the share of the machine's time that its host kept from it.
	Steal float64 `json:"steal"`
	// Breaches are the bounds that were not kept, in words.
	Breaches []string `json:"breaches,omitempty"`
}

// HiddenDrops are frames lost in places that no model knows of.
type HiddenDrops struct {
	Socket   uint64 `json:"socket"`   // not read from a port in time
	Device   uint64 `json:"device"`   // not taken by an endpoint's kernel
	Send     uint64 `json:"send"`     // refused when sent
	Oversize uint64 `json:"oversize"` // larger than MaxMTU: an offload was left on
	Memory   uint64 `json:"memory"`   // the bound on frames held was reached
	Backlog  uint64 `json:"backlog"`  // the machine's softnet_stat, all interfaces
}

// Total returns the sum.
func (d HiddenDrops) Total() uint64 {
	return d.Socket + d.Device + d.Send + d.Oversize + d.Memory + d.Backlog
}

// Inconclusive says whether a run with this health proves nothing, and why.
func (h Health) Inconclusive() (bool, string) {
	return len(h.Breaches) > 0, strings.Join(h.Breaches, "; ")
}

// judge fills in the breaches.
func (h *Health) judge() {
	if bound := maxLatenessP99.Seconds(); h.LatenessP99 > bound {
		h.breach("the emulator was late: p99 %.3f ms, bound %.3f ms", h.LatenessP99*1e3, bound*1e3)
	}
	if h.Drops.Total() > maxHiddenDrops {
		h.breach("frames were lost outside the links: %+v", h.Drops)
	}
	if h.Drops.Oversize > 0 {
		h.breach("frames above %d bytes came in: DisableTxChecksum was not applied to an endpoint", MaxMTU)
	}
}

func (h *Health) breach(format string, args ...any) {
	h.Breaches = append(h.Breaches, fmt.Sprintf(format, args...))
}

// newLateness makes the histogram of lateness: 1 ns to 100 s at two digits.
func newLateness() *hdr.Histogram { return hdr.New(1, 100e9, 2) }

// fill takes the figures of lateness from a histogram.
func (h *Health) fill(lateness *hdr.Histogram) {
	at := lateness.ValueAtPercentiles([]float64{50, 99, 99.9})
	h.Departures = lateness.TotalCount()
	h.LatenessP50 = float64(at[50]) / 1e9
	h.LatenessP99 = float64(at[99]) / 1e9
	h.Lateness999 = float64(at[99.9]) / 1e9
	h.LatenessMax = float64(lateness.Max()) / 1e9
}

// drift measures how far a direction's rate is from its model's: the model's
// times are exact, so the rate over a while is wrong by the change of the
// lateness over that while. It compares the mean lateness of each second with
// the one before.
type drift struct {
	start      int64 // of the present second
	sum, count int64
	before     float64 // mean lateness of the second before, ns
	known      bool    // whether there was one
	worst      float64
}

// note takes one departure, set for at and late by late, in ns.
func (d *drift) note(at, late int64) {
	span := at - d.start
	if d.count > 0 && span >= int64(time.Second) {
		mean := float64(d.sum) / float64(d.count)
		if d.known {
			d.worst = max(d.worst, math.Abs(mean-d.before)/float64(span))
		}
		d.before, d.known, d.count = mean, true, 0
	}
	if d.count == 0 {
		d.start, d.sum = at, 0
	}
	d.sum += late
	d.count++
}

// system is a reading of the machine's counters.
type system struct {
	steal, total uint64 // CPU time, ticks
	backlog      uint64 // dropped frames
}

// readSystem reads /proc/stat and /proc/net/softnet_stat. What cannot be read
// counts as zero.
func readSystem() (s system) {
	if text, err := os.ReadFile("/proc/stat"); err == nil {
		s.steal, s.total = parseCPU(string(text))
	}
	if text, err := os.ReadFile("/proc/net/softnet_stat"); err == nil {
		s.backlog = parseSoftnet(string(text))
	}
	return s
}

// parseCPU reads the first line of /proc/stat (proc_stat(5)): user nice system
// idle iowait irq softirq steal guest guest_nice. The guests' time is part of
// the user's.
func parseCPU(text string) (steal, total uint64) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0
	}
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, 0
		}
		total += ticks
		if i == 7 {
			steal = ticks
		}
	}
	return steal, total
}

// parseSoftnet adds up the second column of softnet_stat, hexadecimal: frames
// dropped because a CPU's backlog was full.
func parseSoftnet(text string) (dropped uint64) {
	for scanner := bufio.NewScanner(strings.NewReader(text)); scanner.Scan(); {
		if fields := strings.Fields(scanner.Text()); len(fields) > 1 {
			n, _ := strconv.ParseUint(fields[1], 16, 64)
			dropped += n
		}
	}
	return dropped
}

// since adds what changed on the machine from s to now.
func (h *Health) since(s system) {
	now := readSystem()
	if now.total > s.total {
		h.Steal = float64(now.steal-s.steal) / float64(now.total-s.total)
	}
	h.Drops.Backlog = now.backlog - s.backlog
}
