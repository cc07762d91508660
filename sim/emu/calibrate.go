package emu

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/link"
	"github.com/multilink-vpn/multilink/sim/tune"
)

// The targets of a calibration, beside those of Health.
const maxRateError = 0.001

// calibrationRates are in bit/s.
var calibrationRates = []float64{1e6, 6.21e6, 50e6, 300e6}

// Lost packets are counted over lossPackets, sent at lossRate bit/s, at a loss
// of lossShare.
const (
	lossShare   = 0.01
	lossPackets = 50000
	lossRate    = 20e6
)

// overload is how much more than its rate a saturated link is offered.
const overload = 1.2

// settle is how long a measurement waits for queues to fill.
const settle = 500 * time.Millisecond

// CalibrateOptions are for Calibrate; the zero value is usual.
type CalibrateOptions struct {
	Spin     bool          // as in Options
	Duration time.Duration // of each measurement; default 3 s
	Progress func(string)  // is told what is measured next
}

// Report is the accuracy of the user space backend on this machine, as it is
// loaded now.
type Report struct {
	Kernel     string      `json:"kernel"`
	CPUs       int         `json:"cpus"`
	Procs      int         `json:"gomaxprocs"`
	Spin       bool        `json:"spin"`
	LoadBefore string      `json:"load_before"` // of /proc/loadavg
	LoadAfter  string      `json:"load_after"`
	Rates      []RateCheck `json:"rates"`
	// Health is that of an emulator with four links of 50 Mbit/s and 10 ms, of
	// which three are saturated; the probe's figures are the time by which
	// packets on the fourth took longer than they should have from sender to
	// receiver, in seconds.
	Health   Health  `json:"health"`
	ProbeP50 float64 `json:"probe_p50"`
	ProbeP99 float64 `json:"probe_p99"`
	Probe999 float64 `json:"probe_p999"`

	Loss LossCheck `json:"loss"`
	// Misses are the targets that were not reached, in words.
	Misses []string `json:"misses,omitempty"`
}

// RateCheck is a saturated link's rate in bit/s and its relative error.
type RateCheck struct {
	Target   float64 `json:"target"`
	Measured float64 `json:"measured"`
	Error    float64 `json:"error"`
}

// LossCheck is the number of packets lost at random and the interval it falls
// in with a probability of 99 %, by the binomial distribution.
type LossCheck struct {
	Share float64 `json:"share"`
	Sent  int     `json:"sent"`
	Lost  int     `json:"lost"`
	Least int     `json:"least"`
	Most  int     `json:"most"`
}

// calibration is one run of Calibrate.
type calibration struct {
	opts   CalibrateOptions
	report Report
}

// Calibrate measures the user space backend in namespaces of its own. It
// takes about seven times the duration and tunes the process while it runs.
func Calibrate(ctx context.Context, opts CalibrateOptions) (Report, error) {
	defer tune.Process()()
	if opts.Duration == 0 {
		opts.Duration = 3 * time.Second
	}
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	c := &calibration{opts: opts}
	c.report = Report{
		Kernel: kernelRelease(), CPUs: runtime.NumCPU(), Procs: runtime.GOMAXPROCS(0),
		Spin: opts.Spin, LoadBefore: loadAverage(),
	}
	for _, rate := range calibrationRates {
		if err := c.rate(ctx, rate); err != nil {
			return c.report, fmt.Errorf("calibrate the rate %g bit/s: %w", rate, err)
		}
	}
	if err := c.lateness(ctx); err != nil {
		return c.report, fmt.Errorf("calibrate the lateness: %w", err)
	}
	if err := c.loss(ctx); err != nil {
		return c.report, fmt.Errorf("calibrate the loss: %w", err)
	}
	c.report.LoadAfter = loadAverage()
	return c.report, ctx.Err()
}

func (c *calibration) miss(format string, args ...any) {
	c.report.Misses = append(c.report.Misses, fmt.Sprintf(format, args...))
}

// stand is an emulator with links and their stations.
type stand struct {
	*rig
	emulator         Impairer
	clients, servers []*station
}

// newStand sets up links that all have cfg upwards.
func (c *calibration) newStand(links int, cfg link.Config) (*stand, error) {
	r, err := newRig()
	if err != nil {
		return nil, err
	}
	s := &stand{rig: r}
	s.emulator, err = NewUser(r.middle, Options{Spin: c.opts.Spin})
	for i := 0; i < links && err == nil; i++ {
		err = s.add(i, cfg)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stand) add(i int, cfg link.Config) error {
	if err := s.plug(i); err != nil {
		return err
	}
	client, err := openStation(s.client, fmt.Sprintf("c%d", i))
	if err != nil {
		return err
	}
	s.clients = append(s.clients, client)
	server, err := openStation(s.server, fmt.Sprintf("s%d", i))
	if err != nil {
		return err
	}
	s.servers = append(s.servers, server)
	return s.emulator.Attach(Spec{
		Link:   fmt.Sprintf("link%d", i),
		Client: Port{Name: fmt.Sprintf("mc%d", i)}, Server: Port{Name: fmt.Sprintf("ms%d", i)},
		Up: cfg, UpSeed: uint64(i) + 1,
	})
}

func (s *stand) close() error {
	var errs []error
	for _, st := range append(s.clients, s.servers...) {
		errs = append(errs, st.socket.close())
	}
	if s.emulator != nil {
		errs = append(errs, s.emulator.Close())
	}
	return errors.Join(append(errs, s.rig.close())...)
}

// rate measures the rate of one saturated link at the receiver.
func (c *calibration) rate(ctx context.Context, rate float64) error {
	c.opts.Progress(fmt.Sprintf("rate %g Mbit/s", rate/1e6))
	const size = 1500
	s, err := c.newStand(1, link.Config{Rate: rate, Queue: link.Queue{Time: 200 * time.Millisecond}})
	if err != nil {
		return err
	}
	var got arrivals
	var offered float64
	err = c.window(ctx, func(ctx context.Context, group *errgroup.Group, open *atomic.Bool) {
		group.Go(func() error {
			start := time.Now()
			sent, err := s.clients[0].flood(ctx, overload*rate, size, 0)
			offered = float64(sent) * size * 8 / time.Since(start).Seconds()
			return err
		})
		group.Go(func() (err error) { got, err = s.servers[0].count(ctx, open, nil); return err })
	})
	health := s.emulator.Health()
	if err := errors.Join(err, s.close()); err != nil {
		return err
	}
	if offered < rate {
		c.miss("rate %g Mbit/s: not measured, the load generator reached only %.2f Mbit/s", rate/1e6, offered/1e6)
	}
	check := RateCheck{Target: rate, Measured: got.rate(size)}
	check.Error = check.Measured/rate - 1
	c.report.Rates = append(c.report.Rates, check)
	if math.Abs(check.Error) >= maxRateError {
		c.miss("rate %g Mbit/s: error %+.4f %%, target below %g %%", rate/1e6, 100*check.Error, 100*maxRateError)
	}
	if health.Drops.Total() > 0 {
		c.miss("rate %g Mbit/s: frames were lost outside the links: %+v", rate/1e6, health.Drops)
	}
	return nil
}

// window starts what begin starts, opens the measurement when it has settled,
// and ends everything after the duration.
func (c *calibration) window(ctx context.Context, begin func(context.Context, *errgroup.Group, *atomic.Bool)) error {
	ctx, cancel := context.WithTimeout(ctx, settle+c.opts.Duration)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	var open atomic.Bool
	begin(ctx, group, &open)
	opening := time.AfterFunc(settle, func() { open.Store(true) })
	defer opening.Stop()
	return group.Wait()
}

// lateness measures how late packets are with four links, three of them
// saturated.
func (c *calibration) lateness(ctx context.Context) error {
	c.opts.Progress("lateness with four links of 50 Mbit/s")
	const rate, delay, probe = 50e6, 10 * time.Millisecond, 200
	s, err := c.newStand(4, link.Config{Rate: rate, Delay: delay, Queue: link.Queue{Time: 100 * time.Millisecond}})
	if err != nil {
		return err
	}
	due := delay + time.Duration(probe*8*1e9/rate)
	ages := newLateness()
	err = c.window(ctx, func(ctx context.Context, group *errgroup.Group, open *atomic.Bool) {
		for i := range 3 {
			group.Go(func() error { _, err := s.clients[i].flood(ctx, overload*rate, 1500, 0); return err })
			group.Go(func() error { _, err := s.servers[i].count(ctx, open, nil); return err })
		}
		// A probe every 2 ms.
		group.Go(func() error { _, err := s.clients[3].flood(ctx, probe*8*500, probe, 0); return err })
		group.Go(func() error {
			_, err := s.servers[3].count(ctx, open, func(age time.Duration) {
				ages.RecordValue(max(1, int64(age-due)))
			})
			return err
		})
	})
	c.report.Health = s.emulator.Health()
	if err := errors.Join(err, s.close()); err != nil {
		return err
	}
	c.probe(ages)
	if bad, why := c.report.Health.Inconclusive(); bad {
		c.miss("four links: %s", why)
	}
	return nil
}

// probe fills in the figures of the probe.
func (c *calibration) probe(ages *hdr.Histogram) {
	at := ages.ValueAtPercentiles([]float64{50, 99, 99.9})
	c.report.ProbeP50 = float64(at[50]) / 1e9
	c.report.ProbeP99 = float64(at[99]) / 1e9
	c.report.Probe999 = float64(at[99.9]) / 1e9
	if c.report.ProbeP99 >= maxLatenessP99.Seconds() {
		c.miss("four links: the probe was late by %.3f ms at p99, target below %.3f ms",
			c.report.ProbeP99*1e3, maxLatenessP99.Seconds()*1e3)
	}
}

// loss counts what a link of 1 % loss lets through.
func (c *calibration) loss(ctx context.Context) error {
	c.opts.Progress("loss")
	s, err := c.newStand(1, link.Config{Loss: link.Loss{Good: lossShare}})
	if err != nil {
		return err
	}
	sent, err := s.clients[0].flood(ctx, lossRate, 100, lossPackets)
	stats, err2 := s.awaitIn(ctx, sent)
	health := s.emulator.Health()
	if err := errors.Join(err, err2, s.close()); err != nil {
		return err
	}
	c.report.Loss = judgeLoss(sent, int(stats.DropLoss))
	if l := c.report.Loss; l.Lost < l.Least || l.Lost > l.Most {
		c.miss("loss: %d of %d packets lost, the 99 %% interval is %d to %d", l.Lost, l.Sent, l.Least, l.Most)
	}
	if health.Drops.Total() > 0 {
		c.miss("loss: frames were lost outside the links: %+v", health.Drops)
	}
	return nil
}

// awaitIn waits until all packets sent have been through the first link.
func (s *stand) awaitIn(ctx context.Context, sent int) (stats link.Stats, err error) {
	for deadline := time.Now().Add(5 * time.Second); ctx.Err() == nil && time.Now().Before(deadline); {
		stats, err = s.emulator.Stats("link0", Up)
		if err != nil || (int(stats.PacketsIn) >= sent && stats.Held == 0) {
			return stats, err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return stats, errors.Join(ctx.Err(), fmt.Errorf("%d packets were sent, only %d arrived at the emulator", sent, stats.PacketsIn))
}

// judgeLoss computes the interval by the normal approximation.
func judgeLoss(sent, lost int) LossCheck {
	const quantile = 2.5758 // of the normal distribution at 99.5 %
	mean := float64(sent) * lossShare
	half := quantile * math.Sqrt(mean*(1-lossShare))
	return LossCheck{
		Share: lossShare, Sent: sent, Lost: lost,
		Least: int(math.Ceil(mean - half)), Most: int(math.Floor(mean + half)),
	}
}

// String returns the report as a few lines of text.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "kernel %s, %d CPUs, GOMAXPROCS %d, spin %v\n", r.Kernel, r.CPUs, r.Procs, r.Spin)
	fmt.Fprintf(&b, "load before: %s; after: %s; stolen from the machine: %.1f %%\n", r.LoadBefore, r.LoadAfter, 100*r.Health.Steal)
	for _, c := range r.Rates {
		fmt.Fprintf(&b, "rate %7.2f Mbit/s: error %+.4f %%\n", c.Target/1e6, 100*c.Error)
	}
	h := r.Health
	fmt.Fprintf(&b, "lateness, 4 links of 50 Mbit/s, 3 saturated: p50 %.0f µs, p99 %.0f µs, p99.9 %.0f µs, max %.0f µs, rate error %.4f %%\n",
		h.LatenessP50*1e6, h.LatenessP99*1e6, h.Lateness999*1e6, h.LatenessMax*1e6, 100*h.RateError)
	fmt.Fprintf(&b, "excess delay of a probe on the fourth, end to end: p50 %.0f µs, p99 %.0f µs, p99.9 %.0f µs\n",
		r.ProbeP50*1e6, r.ProbeP99*1e6, r.Probe999*1e6)
	fmt.Fprintf(&b, "loss %g %%: %d of %d packets (99 %% interval: %d to %d)\n",
		100*r.Loss.Share, r.Loss.Lost, r.Loss.Sent, r.Loss.Least, r.Loss.Most)
	fmt.Fprintf(&b, "hidden drops: %d\n", h.Drops.Total())
	for _, m := range r.Misses {
		fmt.Fprintf(&b, "MISSED: %s\n", m)
	}
	return b.String()
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
