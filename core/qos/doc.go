// Package qos is what a user wants of inner packets: rules that give them a
// priority or low latency, and the shaper that slows down TCP flows of lower
// priority from the receiving side alone.
//
// A rule looks at the remote end of a packet: the destination of what the
// client sends (up) and the source of what it gets (down), so that one rule
// is about both halves of a flow. The first rule that matches decides.
package qos
