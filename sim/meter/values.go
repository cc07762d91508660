package meter

import (
	"time"

	"github.com/multilink-vpn/multilink/sim/report"
)

// This file names the measurements of each kind of traffic but rtp, whose are
// in package call. Expectations and comparisons find them by these names on both
// backends.

// Delivery is what arrived at an application from a traffic's start to its end.
type Delivery struct {
	Total
	Start, Warm, End time.Duration // Warm is the end of the warm-up
}

// setDelivery begins an outcome's values.
func (o *Outcome) setDelivery(d Delivery) {
	o.Values = map[string]any{
		"goodput": d.Goodput(d.Start, d.Warm, d.End),
		"bytes":   d.Bytes,
		"stall":   d.Stall.Seconds(),
	}
	o.Series = map[string]report.Series{"goodput": d.Series(d.Start, d.End)}
}

// Transfers are what one direction of tcp or http traffic found.
type Transfers struct {
	Delivery
	Failed int // connections or downloads
	// Completion are the times that transfers of a size took; nil of those
	// without.
	Completion *Spread
	// Retransmits are the segments that senders sent not for the first time,
	// Spurious the share of all segments that was sent again though it had
	// arrived.
	Retransmits int
	Spurious    float64
	// Seen are the packets as the receiving machine saw them; nil where it could
	// not look.
	Seen *Flows
}

// SetTCP sets the values and series of tcp traffic. cc is the congestion control
// that was in use.
func (o *Outcome) SetTCP(t Transfers, cc string) {
	o.SetHTTP(t)
	o.Values["cc"] = cc
}

// SetHTTP sets the values and series of http traffic.
func (o *Outcome) SetHTTP(t Transfers) {
	o.setDelivery(t.Delivery)
	o.Values["failed"] = t.Failed
	o.Values["retransmits"] = t.Retransmits
	o.Values["spurious"] = t.Spurious
	if t.Completion != nil {
		o.Values["fct"] = t.Completion.Percentiles()
	}
	if t.Seen != nil {
		o.Values["reordered"] = t.Seen.Reordered()
	}
}

// Datagrams are what one direction of udp traffic found.
type Datagrams struct {
	Delivery
	Sent  int
	Order *Order
	Delay *Spread // from the sender to the receiver
}

// SetUDP sets the values and series of udp traffic.
func (o *Outcome) SetUDP(d Datagrams) {
	o.setDelivery(d.Delivery)
	o.Values["sent"] = d.Sent
	o.Values["loss"] = Share(d.Sent-d.Order.Received, d.Sent)
	o.Values["duplicates"] = d.Order.Duplicates
	o.Values["reordered"] = Share(d.Order.Reordered, d.Order.Received)
	o.Values["delay"] = d.Delay.Percentiles()
}

// SetPing sets the values and series of ping traffic: how many requests were
// sent, the round trips of those that were answered, and the same in s by when
// the answers came.
func (o *Outcome) SetPing(sent int, rtt *Spread, answers report.Series) {
	o.Values = map[string]any{"sent": sent, "loss": Share(sent-rtt.Count(), sent), "rtt": rtt.Full()}
	o.Series = map[string]report.Series{"rtt": answers}
}

// SetDNS sets the values of dns traffic: how many queries were sent, how many of
// them failed, and the round trips of the others.
func (o *Outcome) SetDNS(queries, failed int, rtt *Spread) {
	o.Values = map[string]any{"queries": queries, "failed": failed, "rtt": rtt.Full()}
}
