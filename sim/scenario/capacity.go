package scenario

import (
	"fmt"
	"math"
	"slices"

	"github.com/multilink-vpn/multilink/sim/report"
)

// What the tunnel and the protocols in it add to the payload of an inner TCP
// segment, in bytes. This is the one place of the testbed that knows; it is the
// format of package core/wire seen from outside.
const (
	defaultTunnelMTU = 1400

	tcpHeader     = 20
	tcpTimestamps = 12 // option of RFC 7323 with padding, on in every common kernel
	ipv4Header    = 20
	ipv6Header    = 40
	udpHeader     = 8
	tunnelOuter   = 16 // datagram header: type, receiver index, link number
	tunnelInner   = 8  // class, flow bucket, sequence
	tunnelTag     = 16 // of AES-128-GCM and ChaCha20-Poly1305
)

// Capacity returns the largest goodput that inner TCP can have through the
// tunnel in each direction, in bit/s: the rates of the links that are present
// at the start (together at most that of a bottleneck they share), times the
// share of TCP payload in an outer packet. It is +Inf where a link has no
// limit.
func Capacity(sc *Scenario) (down, up float64) {
	share := payloadShare(sc)
	return share * rates(sc, "down"), share * rates(sc, "up")
}

// payloadShare is the payload of a full inner TCP segment over the size of
// the outer packet that carries it.
func payloadShare(sc *Scenario) float64 {
	mtu := float64(defaultTunnelMTU)
	tun, _ := sc.Client["tun"].(map[string]any)
	if v, ok := report.Number(tun["mtu"]); ok {
		mtu = v
	}
	innerIP := ipv4Header
	if onlyInnerIPv6(sc) {
		innerIP = ipv6Header
	}
	payload := mtu - float64(innerIP+tcpHeader+tcpTimestamps)
	return payload / (mtu + float64(tunnelInner+tunnelOuter+tunnelTag+OuterHeaders(OuterIPv6(sc))))
}

// onlyInnerIPv6 says that all TCP in the tunnel is IPv6, whose headers are
// larger; where both are there, the largest possible goodput is IPv4's.
func onlyInnerIPv6(sc *Scenario) bool {
	six := false
	for _, t := range sc.Traffic {
		if t.Via.Kind == "tunnel" && (t.Kind == "tcp" || t.Kind == "http") {
			if t.IP == 4 {
				return false
			}
			six = true
		}
	}
	return six
}

// OuterHeaders is the size of the IP and UDP headers that a datagram of the
// tunnel has on a link, in bytes.
func OuterHeaders(six bool) int {
	if six {
		return ipv6Header + udpHeader
	}
	return ipv4Header + udpHeader
}

// OuterIPv6 says whether the tunnel's own packets are IPv6. Where the client
// may choose, the smaller IPv4 ones bound the goodput.
func OuterIPv6(sc *Scenario) bool {
	if u, ok := sc.Client["underlay"].(map[string]any); ok && sc.Underlay == UnderlayBoth {
		return fmt.Sprint(u["family"]) == "6"
	}
	return sc.Underlay == Underlay6
}

// rates adds up what the present links carry in a direction, in bit/s.
func rates(sc *Scenario, direction string) float64 {
	sum := 0.0
	shared := map[string]bool{}
	for _, b := range sc.Bottlenecks {
		behind := 0.0
		for _, l := range sc.Links {
			if l.Present && slices.Contains(b.Links, l.Name) {
				behind += rateOf(side(l.Up, l.Down, direction))
				shared[l.Name] = true
			}
		}
		sum += min(behind, rateOf(side(b.Up, b.Down, direction)))
	}
	for _, l := range sc.Links {
		if l.Present && !shared[l.Name] {
			sum += rateOf(side(l.Up, l.Down, direction))
		}
	}
	return sum
}

func side(up, down Impairment, direction string) Impairment {
	if direction == "up" {
		return up
	}
	return down
}

// rateOf is the mean rate of a direction, +Inf without a limit.
func rateOf(im Impairment) float64 {
	switch {
	case im.Trace != "":
		t, err := readTrace(im.Trace)
		if err != nil {
			return math.NaN() // it was there when the scenario was checked
		}
		return t.Rate()
	case im.Rate > 0:
		return im.Rate
	}
	return math.Inf(1)
}
