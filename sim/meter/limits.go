package meter

import "time"

// What the generators of both backends keep to, so that their figures can be
// compared.
const (
	// RedialPause is how long a client waits before it tries again to connect,
	// as an application that waits for its network would.
	RedialPause = 100 * time.Millisecond
	// Lateness is how long after its end a traffic waits for what is under way.
	Lateness = time.Second
	// PingPayload is the size of the data of an echo request in bytes, as ping
	// sends it. It begins with the request's number in full: ICMP's sequence
	// number has 16 bits.
	PingPayload = 56
	// DNSPatience is how long a query waits for its answer, as a stub resolver
	// with one server and one attempt does (resolv.conf's timeout is 5 s).
	DNSPatience = 2 * time.Second
	// MaxDatagrams bounds the numbers of one udp traffic: Order keeps a bit for
	// each.
	MaxDatagrams = 1 << 28
)
