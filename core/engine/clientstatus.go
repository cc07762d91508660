package engine

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/multilink-vpn/multilink/core/session"
)

// Status tells what the client believes.
func (c *Client) Status() Status {
	st := Status{
		Role: roleClient, Version: c.opts.Version, PID: os.Getpid(), Uptime: age(c.started),
		Counters: counterNames(roleClient),
	}
	var snap session.Snapshot
	s := c.current.Load()
	if s != nil {
		snap = s.driver.Snapshot()
		st.Session = s.status(snap)
		st.Session.QoS = s.qosStatus()
		st.Counters.addStruct("", snap.Counters)
	}
	st.Counters.addStruct("", c.counters.snapshot())

	c.mu.Lock()
	defer c.mu.Unlock()
	st.State, st.Reason, st.Warnings = c.state, c.reason, c.warnings
	st.TUN.Name = c.cfg.TUN.Name
	if c.device != nil {
		st.TUN.Info = c.device.Info()
		st.Counters.addStruct(tunPrefix, c.device.Counters())
	}
	st.Counters.add(c.past)
	st.Rejected = maps.Clone(c.rejected)
	for _, l := range c.links {
		if l.conn != nil {
			st.Counters.addStruct(udpPrefix, l.conn.udp.Counters())
		}
		st.Links = append(st.Links, l.status(snap, c.cfg.Server.String()))
	}
	slices.SortFunc(st.Links, func(a, b LinkStatus) int { return cmp.Compare(a.ID, b.ID) })
	st.judge()
	return st
}

// judge takes back "up" where no datagram comes through, although control
// connections stand.
func (st *Status) judge() {
	if st.State != Up {
		return
	}
	state, reason := Connecting, "no answer yet over UDP"
	for _, l := range st.Links {
		switch l.State {
		case "up", "suspect":
			return
		case linkDown:
			state, reason = NoLink, "no answer over UDP on any link"
		}
	}
	st.State, st.Reason = state, reason
}

func (s *clientSession) status(snap session.Snapshot) *SessionStatus {
	st := &SessionStatus{
		ID: s.ref.ID, ClientID: s.clientID, Addresses: addressTexts(s.address[:]),
		MTU: s.mtu, Suite: s.suite, Since: age(s.since),
	}
	st.fill(snap)
	return st
}

// status describes the link; with the client's lock held.
func (l *clientLink) status(snap session.Snapshot, server string) LinkStatus {
	st := LinkStatus{
		Link: findLink(snap, l.id), Interface: l.name, Server: server,
		Control: l.control, Since: age(l.since),
	}
	st.Name = l.name
	allowed := l.client.settings(l.name, nil)
	st.Role, st.RoleReason, st.Quota = allowed.Role, allowed.Reason, allowed.Quota
	if l.conn == nil {
		st.State = linkDown // whatever the session still shows of it
	} else {
		st.Address = l.conn.udp.LocalAddr().String()
		st.Server = l.conn.server.String()
		st.Underlay = l.conn.udp.Info()
	}
	if l.err != nil {
		st.LastError = l.err.Error()
	}
	return st
}

// setState works out the state from the links', and tells of a change.
func (c *Client) setState() {
	if c.ending.Load() {
		return
	}
	c.mu.Lock()
	before, reason := c.state, c.reason
	c.state, c.reason = c.judge()
	now := c.state
	changed := now != before || c.reason != reason
	reason = c.reason
	c.mu.Unlock()
	if !changed {
		return
	}
	text := string(now)
	if reason != "" {
		text += ": " + reason
	}
	c.opts.state(text)
	c.log.Info("state", "state", string(now), "reason", reason)
	c.logReach()
}

// logReach says once that no link reaches the server.
func (c *Client) logReach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var failed error
	tried := 0
	for _, ifc := range c.usable {
		l := c.links[ifc.Name]
		if l != nil && l.conn != nil {
			c.unreachable = false
			return
		}
		if l != nil && l.err != nil {
			failed = l.err
			tried++
		}
	}
	if failed != nil && tried == len(c.usable) && !c.unreachable {
		c.unreachable = true
		c.log.Warn("server unreachable", "server", c.cfg.Server.String(), "reason", failed)
	}
}

// judge returns the state and the reason why it is not Up; with the lock held.
func (c *Client) judge() (State, string) {
	var (
		worst     error
		permanent = len(c.usable) > 0
	)
	for _, ifc := range c.usable {
		l := c.links[ifc.Name]
		if l != nil && l.conn != nil {
			return Up, ""
		}
		if l == nil || !l.permanent {
			permanent = false
		}
		if l != nil && l.err != nil {
			worst = l.err
		}
	}
	reason := ""
	switch {
	case len(c.usable) == 0:
		reason = "no usable interface"
		if len(c.rejected) > 0 {
			reason = fmt.Sprintf("no usable interface (%d not used)", len(c.rejected))
		}
	case worst != nil:
		reason = worst.Error()
	}
	if permanent {
		return Failing, reason
	}
	if s := c.current.Load(); s != nil && s.hadLink {
		return NoLink, reason
	}
	return Connecting, reason
}

// connectionOf returns the connection of a link that is up.
func (c *Client) connectionOf(l *clientLink) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return l.conn
}

// setRunning notes whether somebody runs a link.
func (c *Client) setRunning(l *clientLink, running bool) {
	c.mu.Lock()
	l.running = running
	if !running {
		c.forgetLinks()
	}
	c.mu.Unlock()
}
