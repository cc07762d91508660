package e2e

import (
	"context"
	"net/netip"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/traffic"
)

var _ = Describe("A busy client", func() {
	const load = 3 * time.Second

	// The cables have no limit: what is short is the server's time.
	DescribeTable("does not starve a quiet one", func(busy scenario.Traffic) {
		b := newBench(2, 1)
		b.start()
		host := traffic.End{NS: b.router.ns, Addr: netip.MustParseAddr(host4)}
		busy.Name, busy.Kind, busy.Duration = "busy", "tcp", load
		loads := []traffic.Job{
			{Traffic: busy, Client: traffic.End{NS: b.clients[0].on.ns}},
			{
				Traffic: scenario.Traffic{Name: "quiet", Kind: "ping", Interval: 20 * time.Millisecond, Duration: load},
				Client:  traffic.End{NS: b.clients[1].on.ns},
			},
		}
		outcomes := make([]meter.Outcome, len(loads))
		errs := make([]error, len(loads))
		began := time.Now()
		var running sync.WaitGroup
		for i, job := range loads {
			job.Host, job.Origin, job.Until, job.Seed = host, began, load, 1
			running.Go(func() { outcomes[i], errs[i] = traffic.Run(context.Background(), job) })
		}
		running.Wait()
		Expect(errs).To(HaveEach(BeNil()))
		Expect(outcomes[0].Values["bytes"]).To(BeNumerically(">", 10e6), "%v", outcomes[0].Notes)
		Expect(outcomes[1].Values["loss"]).To(BeNumerically("<=", 0.02), "%v", outcomes[1].Values)
		Expect(outcomes[1].Values["rtt"]).To(HaveKeyWithValue("p50", BeNumerically("<", 0.1)))
		AddReportEntry("quiet client's echo requests", outcomes[1].Values)
	},
		Entry("with its downloads", scenario.Traffic{Direction: "down", Streams: 8}),
		Entry("with its uploads", scenario.Traffic{Direction: "up", Streams: 8}),
	)
})
