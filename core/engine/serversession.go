package engine

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/qos"
	"github.com/multilink-vpn/multilink/core/seal"
	"github.com/multilink-vpn/multilink/core/session"
)

// serverSession is a client of the server. The server's lock guards what is
// not constant.
type serverSession struct {
	name    string
	key     control.PublicKey
	ref     control.SessionRef
	lease   lease
	address [2]netip.Prefix // IPv4 and IPv6; the zero Prefix where there is none
	mtu     int
	since   time.Time
	driver  *driver

	strategy control.Strategy // in force
	rules    []qos.Text       // that the client has asked for
	followed int              // of them, in force
	links    map[core.LinkID]*serverLink
	expiry   *time.Timer // runs while there is no link
	ended    bool
}

// serverLink is a link of a client: a control connection and what came of it.
type serverLink struct {
	session *serverSession
	id      core.LinkID
	name    string
	conn    *control.Conn
	index   uint32 // the server's receiver index
	suite   seal.Suite
	since   time.Time
	// closedBy says why the server has closed conn, "" if it has not; guarded by
	// the server's lock.
	closedBy string
}

// close ends the link's connection, and notes why for the log; with the server's
// lock held.
func (l *serverLink) close(why string) {
	l.closedBy = why
	go l.conn.Close() // may wait for the network
}

// addresses lists the client's addresses.
func (c *serverSession) addresses() []netip.Addr {
	var list []netip.Addr
	for _, p := range c.address {
		if p.IsValid() {
			list = append(list, p.Addr())
		}
	}
	return list
}

// tell sends the client a message that it has not asked for, over the link of the
// lowest ID: always the same as long as that is up, and that over which the client
// asks (Client.firstConnection). What is posted with the server's lock held, answers
// among it, is in order: so the newest is the last at the client.
func (c *serverSession) tell(m control.Message) {
	if len(c.links) > 0 {
		first := slices.Min(slices.Collect(maps.Keys(c.links)))
		c.links[first].conn.Post(m)
	}
}

// status describes the client; with the server's lock held.
func (c *serverSession) status(udp sockets) ClientStatus {
	snap := c.driver.Snapshot()
	st := ClientStatus{Name: c.name, Key: c.key.String(), Links: []LinkStatus{}}
	st.SessionStatus = SessionStatus{
		ID: c.ref.ID, ClientID: c.lease.ID, Addresses: addressTexts(c.address[:]), MTU: c.mtu, Since: age(c.since),
	}
	st.fill(snap)
	st.QoS = c.qosStatus()
	for id, l := range c.links {
		ls := LinkStatus{
			Link: findLink(snap, id), Address: l.conn.LocalAddr().String(),
			Underlay: udp.of(l.index).Info(), Control: controlUp, Since: age(l.since),
		}
		ls.Name = l.name
		st.Links = append(st.Links, ls)
		st.Suite = l.suite.String()
	}
	slices.SortFunc(st.Links, func(a, b LinkStatus) int { return cmp.Compare(a.ID, b.ID) })
	return st
}

// findLink returns what a session says of a link, or a link that is down.
func findLink(snap session.Snapshot, id core.LinkID) session.Link {
	for _, l := range snap.Links {
		if l.ID == id {
			return l
		}
	}
	return session.Link{ID: id, State: linkDown, Role: "active"}
}

func addressTexts(list []netip.Prefix) []string {
	texts := []string{}
	for _, p := range list {
		if p.IsValid() {
			texts = append(texts, p.String())
		}
	}
	return texts
}

// gatekeeper decides which of a client's packets reach the server's TUN.
type gatekeeper struct {
	own      [2]netip.Addr // the client's addresses; the zero Addr where there is none
	pools    pools
	gateway  [2]netip.Addr
	isolated bool // clients must not reach each other
	counters *serverCounters
}

// admit leaves out what does not come from the client's own addresses, and
// what goes to other clients if it must not.
func (g *gatekeeper) admit(packets []core.Packet) []core.Packet {
	kept := packets[:0]
	for _, p := range packets {
		src, dst, ok := addressesOf(p.Data)
		switch {
		case !ok || !slices.Contains(g.own[:], src):
			g.counters.spoofed.Add(1)
		case g.isolated && g.pools.contains(dst) && !slices.Contains(g.gateway[:], dst):
			g.counters.isolated.Add(1)
		default:
			kept = append(kept, p)
		}
	}
	return kept
}

// serverCounters are the server's own counters.
type serverCounters struct {
	spoofed, isolated, noClient, header, noSession, sendErrors, streamFull atomic.Uint64
	sessions, joins                                                        atomic.Uint64
}

// engineServerCounters is serverCounters at one moment. A super-packet from the
// TUN counts once.
type engineServerCounters struct {
	DropSpoofed   uint64 `json:"drop_spoofed"`    // inner source is not the client's
	DropIsolated  uint64 `json:"drop_isolated"`   // to another client, which is not allowed
	DropNoClient  uint64 `json:"drop_no_client"`  // no session has the destination
	DropHeader    uint64 `json:"drop_bad_header"` // not a datagram of ours
	DropNoSession uint64 `json:"drop_no_session"` // no link has the receiver index
	SendErrors    uint64 `json:"send_errors"`     // of the socket
	// DropStreamFull counts datagrams for which a control connection had no room.
	DropStreamFull uint64 `json:"drop_stream_full"`
	Sessions       uint64 `json:"sessions"` // that have begun
	Joins          uint64 `json:"joins"`    // links that have joined
}

func (c *serverCounters) snapshot() engineServerCounters {
	return engineServerCounters{
		DropSpoofed:    c.spoofed.Load(),
		DropIsolated:   c.isolated.Load(),
		DropNoClient:   c.noClient.Load(),
		DropHeader:     c.header.Load(),
		DropNoSession:  c.noSession.Load(),
		SendErrors:     c.sendErrors.Load(),
		DropStreamFull: c.streamFull.Load(),
		Sessions:       c.sessions.Load(),
		Joins:          c.joins.Load(),
	}
}
