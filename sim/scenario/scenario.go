// Package scenario is the language of the testbed: what a file says, how it
// is read and checked, and how its expectations are judged. It starts
// nothing; package lab runs what it describes.
package scenario

import "time"

// ConnectLimit is how long the links that are plugged in have to come up before
// the time of a run begins.
const ConnectLimit = 5 * time.Second

// The backends that run scenarios.
const (
	Namespaces  = "netns"   // the real programs in network namespaces
	VirtualTime = "virtual" // the product's sessions in a simulation
)

// Scenario is one file of the scenario language, with every default filled in.
// Rates are in bit/s, shares and probabilities of 1.
type Scenario struct {
	// Path is the file the scenario came from; traces are relative to it.
	Path        string
	Name        string
	About       string
	Seed        uint64
	Backends    []string // Namespaces, VirtualTime
	Warmup      time.Duration
	Duration    time.Duration
	Underlay    Underlay
	Baseline    string // "", BaselineAlone or BaselineBare
	Links       []Link
	Bottlenecks []Bottleneck
	// Client and Server are configuration keys of the product, as they stand
	// in the file; nested tables are nested maps.
	Client   map[string]any
	Server   map[string]any
	Traffic  []Traffic
	Timeline []Action
	Expect   []Expectation
}

// EndsBySize says that a run is over before its duration when all traffic has
// ended: some of it ends by its size, and none goes on to the end.
func (sc *Scenario) EndsBySize() bool {
	bySize := false
	for _, t := range sc.Traffic {
		if t.Duration > 0 {
			continue
		}
		if t.Size == 0 {
			return false
		}
		bySize = true
	}
	return bySize
}

// Underlay is the address family of the links and of the server.
type Underlay string

// The families a testbed can be built with.
const (
	Underlay4    Underlay = "4"
	Underlay6    Underlay = "6"
	UnderlayBoth Underlay = "both"
)

// Link is one access network of the client.
type Link struct {
	Name    string
	Up      Impairment // client -> server
	Down    Impairment // server -> client
	NAT     bool
	Present bool
}

// Impairment is what one direction of a link does to packets.
type Impairment struct {
	Rate         float64 // bit/s of IP packets; 0: not limited
	Delay        time.Duration
	Jitter       time.Duration
	Distribution string // "uniform" or "normal"
	Loss         Loss
	Reorder      float64
	Duplicate    float64
	Corrupt      float64
	Queue        Queue
	MTU          int    // largest IP packet in bytes; 0: 1500
	Block        string // "udp": such packets vanish; "" or "none"
	Trace        string // absolute path of a mahimahi trace; instead of Rate
}

// Loss is a Gilbert-Elliott model: P leads from good to bad, R back, and in
// each state packets are lost with the probability Good or Bad. Independent
// loss has only Good set, all else 0.
type Loss struct{ P, R, Good, Bad float64 }

// Queue bounds a drop-tail queue in exactly one of three ways.
type Queue struct {
	Time    time.Duration // at the direction's rate
	Bytes   int
	Packets int
}

// Bottleneck is a router that several links share.
type Bottleneck struct {
	Name  string
	Links []string
	Up    Impairment
	Down  Impairment
}

// Traffic is one generator and its meter.
type Traffic struct {
	Name      string
	Kind      string // tcp, udp, rtp, ping, http, dns
	Direction string // up, down, both
	Start     time.Duration
	Duration  time.Duration // 0: until size or count is done, else the end of the run
	Streams   int           // tcp
	CC        string        // congestion control of the inner TCP; "": the kernel's
	Size      int64         // bytes; 0: unbounded
	Count     int           // http: downloads, one after another
	Rate      float64       // bit/s
	Packet    int           // bytes of UDP payload
	Codec     string
	Interval  time.Duration
	To        int // 1 or 2: which host behind the server
	IP        int // 4 or 6: the inner family
	Via       Via
}

// End is the time of the run at which the traffic stops, done or not; runEnd is
// that of the run.
func (t Traffic) End(runEnd time.Duration) time.Duration {
	if t.Duration > 0 && t.Start+t.Duration < runEnd {
		return t.Start + t.Duration
	}
	return runEnd
}

// Via is the way traffic takes.
type Via struct {
	Kind string // "tunnel", "link" or "mptcp"
	Link string // of Kind "link"
}

// Action is one entry of the timeline.
type Action struct {
	At        time.Duration
	Do        string
	Link      string
	Direction string // up, down, both
	// Up and Down are the whole new impairments of a "set"; nil leaves the
	// direction as it is.
	Up, Down *Impairment
	// Client holds the keys of a "reload-client".
	Client map[string]any
}

// Expectation is one assertion over the measurements, with its place.
type Expectation struct {
	Expr   string
	Line   int
	Column int
}
