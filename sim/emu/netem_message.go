package emu

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/link"
)

// The netem backend gives each port, for the direction that leaves there, this
// chain of queueing disciplines (tc-netem(8), tc-tbf(8)):
//
//	root 1: netem   loss, duplication, corruption, reordering, delay, jitter
//	 └─  2: tbf     rate, MTU
//	     └─ 3: bfifo or 4: pfifo   the drop-tail queue
//
// netem's own rate is not used as such, for its limit counts packets in the
// delay line and in the queue alike and cannot count bytes. With constant
// delay, delaying first and serialising then is the same as the reverse.
// Handles are fixed, so that a change replaces what is there.
var (
	netemHandle = netlink.MakeHandle(1, 0)
	tbfHandle   = netlink.MakeHandle(2, 0)
	bfifoHandle = netlink.MakeHandle(3, 0)
	pfifoHandle = netlink.MakeHandle(4, 0)
	belowNetem  = netlink.MakeHandle(1, 1)
	belowTbf    = netlink.MakeHandle(2, 1)
	ingress     = netlink.MakeHandle(0xffff, 0)
)

// Attributes of linux/pkt_sched.h that the netlink library has no name for.
const (
	tcaNetemLatency64 = 10
	tcaNetemJitter64  = 11
	tcaNetemSeed      = 14 // TCA_NETEM_PRNG_SEED, Linux 6.6; older ones ignore it
	netemLossGE       = 2
	netemDistScale    = 8192
	tcaStabBase       = 1
)

const (
	// pschedTick is the unit of times in these messages, in nanoseconds.
	pschedTick = 64
	// orderRate is a rate for netem so high that it delays nothing. With a
	// rate netem keeps packets in order however the delay varies; without
	// one, jitter reorders them.
	orderRate = uint64(100e9 / 8)
	// openRate stands for an unlimited rate, in byte/s.
	openRate = uint64(100e9 / 8)
	// openQueue stands for an unlimited queue, in bytes.
	openQueue = 1 << 30
	// peakFactor times the rate is the peak at which a burst leaves. A peak
	// is needed because its bucket bounds the packet's size, our MTU.
	peakFactor = 10
	// burstTime is how late the kernel's timer may be without loss of rate.
	burstTime = time.Millisecond
	// largest is the MTU of a link that has no other.
	largest = 65535
)

// words serialises numbers of 32 bits in the host's order.
func words(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}

// request starts a message about a queueing discipline or a filter.
func request(kind string, command, flags int, message *nl.TcMsg, options *nl.RtAttr) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(command, flags|unix.NLM_F_ACK)
	message.Family = nl.FAMILY_ALL
	r.AddData(message)
	r.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated(kind)))
	if options != nil {
		r.AddData(options)
	}
	return r
}

// replace makes or changes a queueing discipline.
const replace = unix.NLM_F_CREATE | unix.NLM_F_REPLACE

// netemRequest sets the part of cfg that netem does. A hole loses everything.
func netemRequest(index int, cfg *link.Config, seed uint64, hole bool) *nl.NetlinkRequest {
	options := nl.NewRtAttr(nl.TCA_OPTIONS, (&nl.TcNetemQopt{
		Latency:   ticks(cfg.Delay),
		Limit:     link.MaxHeld,
		Loss:      probability(independentLoss(cfg, hole)),
		Gap:       gap(cfg),
		Duplicate: probability(cfg.Duplicate),
		Jitter:    ticks(cfg.Jitter),
	}).Serialize())
	options.AddRtAttr(tcaNetemLatency64, nl.Uint64Attr(uint64(cfg.Delay)))
	options.AddRtAttr(tcaNetemJitter64, nl.Uint64Attr(uint64(cfg.Jitter)))
	if l := cfg.Loss; !hole && l.P > 0 {
		model := options.AddRtAttr(nl.TCA_NETEM_LOSS, nil)
		model.AddRtAttr(netemLossGE, words(probability(l.P), probability(l.R), probability(1-l.Bad), probability(l.Good)))
	}
	if cfg.Reorder > 0 {
		options.AddRtAttr(nl.TCA_NETEM_REORDER, (&nl.TcNetemReorder{Probability: probability(cfg.Reorder)}).Serialize())
	}
	if cfg.Corrupt > 0 {
		options.AddRtAttr(nl.TCA_NETEM_CORRUPT, (&nl.TcNetemCorrupt{Probability: probability(cfg.Corrupt)}).Serialize())
	}
	options.AddRtAttr(nl.TCA_NETEM_RATE64, nl.Uint64Attr(orderRate))
	options.AddRtAttr(nl.TCA_NETEM_RATE, (&nl.TcNetemRate{Rate: math.MaxUint32}).Serialize())
	if cfg.Jitter > 0 && cfg.Distribution == link.Normal {
		options.AddRtAttr(nl.TCA_NETEM_DELAY_DIST, normalTable())
	}
	options.AddRtAttr(tcaNetemSeed, nl.Uint64Attr(seed))
	message := &nl.TcMsg{Ifindex: int32(index), Parent: netlink.HANDLE_ROOT, Handle: netemHandle}
	return request("netem", unix.RTM_NEWQDISC, replace, message, options)
}

// independentLoss is the loss for which netem needs no model of states.
func independentLoss(cfg *link.Config, hole bool) float64 {
	switch {
	case hole:
		return 1
	case cfg.Loss.P > 0:
		return 0
	}
	return cfg.Loss.Good
}

// gap makes netem consider every packet for reordering.
func gap(cfg *link.Config) uint32 {
	if cfg.Reorder > 0 {
		return 1
	}
	return 0
}

// probability scales a share to netem's 0..2³²-1.
func probability(share float64) uint32 {
	return uint32(math.Round(min(1, max(0, share)) * math.MaxUint32))
}

// ticks converts a time for old kernels, which do not know the attributes in
// nanoseconds.
func ticks(d time.Duration) uint32 { return uint32(min(int64(d)/pschedTick, math.MaxUint32)) }

// normalTable is the inverse of the normal distribution function at equal
// steps, scaled and bounded as netem wants it (±4 standard deviations).
func normalTable() []byte {
	const size = 4096
	var b []byte
	for i := range size {
		share := (float64(i) + 0.5) / size
		deviation := math.Sqrt2 * math.Erfinv(2*share-1)
		value := math.Round(min(4, max(-4, deviation)) * netemDistScale)
		b = binary.NativeEndian.AppendUint16(b, uint16(int16(min(value, math.MaxInt16))))
	}
	return b
}

// tbfRequest sets the rate and the MTU.
func tbfRequest(index int, cfg *link.Config) *nl.NetlinkRequest {
	rate := openRate
	if cfg.Rate > 0 {
		rate = max(1, uint64(math.Round(cfg.Rate/8)))
	}
	mtu := uint32(largest)
	if cfg.MTU > 0 {
		mtu = uint32(cfg.MTU)
	}
	burst := max(2*MaxMTU, uint32(float64(rate)*burstTime.Seconds()))
	limit, _ := queueLimit(cfg)
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(nl.TCA_TBF_PARMS, (&nl.TcTbfQopt{
		Rate:     rateSpec(rate),
		Peakrate: rateSpec(peakFactor * rate),
		Limit:    limit,
		Buffer:   transmission(burst, rate),
		Mtu:      transmission(mtu, peakFactor*rate),
	}).Serialize())
	options.AddRtAttr(nl.TCA_TBF_RATE64, nl.Uint64Attr(rate))
	options.AddRtAttr(nl.TCA_TBF_PRATE64, nl.Uint64Attr(peakFactor*rate))
	options.AddRtAttr(nl.TCA_TBF_BURST, nl.Uint32Attr(burst))
	options.AddRtAttr(nl.TCA_TBF_PBURST, nl.Uint32Attr(mtu))
	message := &nl.TcMsg{Ifindex: int32(index), Parent: belowNetem, Handle: tbfHandle}
	r := request("tbf", unix.RTM_NEWQDISC, replace, message, options)
	r.AddData(withoutEthernet())
	return r
}

// rateSpec is a rate in byte/s as far as it fits; the rest is in an attribute
// of 64 bits.
func rateSpec(rate uint64) nl.TcRateSpec {
	return nl.TcRateSpec{Rate: uint32(min(rate, math.MaxUint32)), Linklayer: nl.LINKLAYER_ETHERNET}
}

// transmission is the time that bytes take at a rate, in ticks.
func transmission(bytes uint32, rate uint64) uint32 {
	return uint32(min(float64(bytes)*1e9/float64(rate)/pschedTick, math.MaxUint32))
}

// withoutEthernet is a size table that takes the Ethernet header off each
// packet's size, so that the kernel counts what our rates, queues and MTUs do.
func withoutEthernet() *nl.RtAttr {
	table := nl.NewRtAttr(nl.TCA_STAB, nil)
	// struct tc_sizespec: logs and alignment 0; overhead, linklayer, mpu, mtu
	// and size of the table.
	overhead := int32(-etherHeader)
	table.AddRtAttr(tcaStabBase, words(0, uint32(overhead), nl.LINKLAYER_ETHERNET, 0, 0, 0))
	return table
}

// queueLimit returns the queue's bound, and whether it counts packets.
func queueLimit(cfg *link.Config) (limit uint32, packets bool) {
	if cfg.Queue.Packets > 0 {
		return uint32(cfg.Queue.Packets), true
	}
	if limit := cfg.QueueBytes(); limit > 0 {
		// The kernel's queue has no idle transmitter beside it that takes a
		// packet in any case.
		return uint32(min(max(limit, largestOf(cfg)), openQueue)), false
	}
	return openQueue, false
}

// largestOf returns the size of the largest packet of a link with an ordinary
// interface.
func largestOf(cfg *link.Config) int {
	if cfg.MTU > 0 {
		return cfg.MTU
	}
	return 1500
}

// queueRequest sets the drop-tail queue.
func queueRequest(index int, cfg *link.Config) *nl.NetlinkRequest {
	limit, packets := queueLimit(cfg)
	kind, handle := "bfifo", bfifoHandle
	if packets {
		kind, handle = "pfifo", pfifoHandle
	}
	message := &nl.TcMsg{Ifindex: int32(index), Parent: belowTbf, Handle: handle}
	return request(kind, unix.RTM_NEWQDISC, replace, message, nl.NewRtAttr(nl.TCA_OPTIONS, words(limit)))
}

// ingressRequest lets a port have filters for what comes in.
func ingressRequest(index int) *nl.NetlinkRequest {
	message := &nl.TcMsg{Ifindex: int32(index), Parent: netlink.HANDLE_INGRESS, Handle: ingress}
	return request("ingress", unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, message, nil)
}

// redirectRequest sends everything that comes in at one port out at another.
func redirectRequest(from, to int) *nl.NetlinkRequest {
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	everything := &nl.TcU32Sel{Flags: nl.TC_U32_TERMINAL, Nkeys: 1, Keys: []nl.TcU32Key{{}}}
	options.AddRtAttr(nl.TCA_U32_SEL, everything.Serialize())
	action := options.AddRtAttr(nl.TCA_U32_ACT, nil).AddRtAttr(1, nil)
	action.AddRtAttr(nl.TCA_ACT_KIND, nl.ZeroTerminated("mirred"))
	mirred := &nl.TcMirred{
		TcGen:   nl.TcGen{Action: int32(netlink.TC_ACT_STOLEN)},
		Eaction: int32(netlink.TCA_EGRESS_REDIR),
		Ifindex: uint32(to),
	}
	action.AddRtAttr(nl.TCA_ACT_OPTIONS, nil).AddRtAttr(nl.TCA_MIRRED_PARMS, mirred.Serialize())
	const priority = 1
	message := &nl.TcMsg{
		Ifindex: int32(from), Parent: ingress,
		Info: priority<<16 | uint32(nl.Swap16(unix.ETH_P_ALL)),
	}
	return request("u32", unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL, message, options)
}

// deleteRequests remove everything from a port.
func deleteRequests(index int) []*nl.NetlinkRequest {
	root := &nl.TcMsg{Ifindex: int32(index), Parent: netlink.HANDLE_ROOT, Handle: netemHandle}
	in := &nl.TcMsg{Ifindex: int32(index), Parent: netlink.HANDLE_INGRESS, Handle: ingress}
	return []*nl.NetlinkRequest{
		request("netem", unix.RTM_DELQDISC, 0, root, nil),
		request("ingress", unix.RTM_DELQDISC, 0, in, nil),
	}
}

// chainRequests configure the direction that leaves at a port.
func chainRequests(index int, cfg *link.Config, seed uint64, hole bool) []*nl.NetlinkRequest {
	return []*nl.NetlinkRequest{
		netemRequest(index, cfg, seed, hole),
		tbfRequest(index, cfg),
		queueRequest(index, cfg),
	}
}
