package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/netmon"
	"github.com/multilink-vpn/multilink/core/session"
)

const (
	// accountEvery is how often what links carry is counted against quotas.
	accountEvery = time.Second
	// drainTime is how long a link that is switched off stays connected, so
	// that what is on its way arrives.
	drainTime = 300 * time.Millisecond
)

// linkPolicies are what the user allows the client's links. The client's lock
// guards it.
type linkPolicies struct {
	set   map[string]config.LinkPolicy // by 'multilink link set', until a reload
	usage *usage
}

// policy is what a link is allowed now: as the user says, and as its quota
// leaves it. reason says why the role is not the one that the user chose; with
// the lock held.
func (c *Client) policy(name string) (p config.LinkPolicy, reason string) {
	p, ok := c.policies.set[name]
	if !ok {
		p = c.cfg.PolicyOf(name)
	}
	if p.Quota == 0 || c.policies.usage == nil || c.policies.usage.account(name, p).Bytes < p.Quota {
		return p, ""
	}
	if p.Role == config.RoleActive || p.AtQuota == config.RoleOff {
		p.Role = p.AtQuota
	}
	return p, fmt.Sprintf("its quota of %s is used up until %s", config.ShowVolume(p.Quota),
		nextPeriod(c.policies.usage.now(), p.ResetDay).Format(time.DateOnly))
}

// openUsage reads how much of their quotas links have used.
func (c *Client) openUsage() (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policies.usage, err = openUsage(c.cfg.UsageFile, c.deps.timeOfDay)
	return err
}

// dropOff takes the interfaces whose links are off out of a list, active ones
// first in what is left, and notes why in rejected; with the lock held.
func (c *Client) dropOff(list []netmon.Interface, rejected map[string]string) (use, off []netmon.Interface) {
	var backups []netmon.Interface
	for _, ifc := range list {
		p, reason := c.policy(ifc.Name)
		switch p.Role {
		case config.RoleOff:
			rejected[ifc.Name] = "is off: " + cmp.Or(reason, "by configuration or 'multilink link set'")
			off = append(off, ifc)
		case config.RoleBackup:
			backups = append(backups, ifc)
		default:
			use = append(use, ifc)
		}
	}
	return append(use, backups...), off
}

// sending and receiving are a policy in the client's two directions.
func sending(p config.LinkPolicy) session.Policy {
	return session.Policy{Role: roleOf(p.Role), Cap: p.CapUp / 8, MaxRTT: p.MaxRTT, MaxLoss: p.MaxLoss}
}

func receiving(p config.LinkPolicy) control.LinkRules {
	return control.LinkRules{Role: p.Role, Cap: p.CapDown, MaxRTT: p.MaxRTT.Seconds(), MaxLoss: p.MaxLoss}
}

// ruled is a policy as the server has got it.
func ruled(r control.LinkRules) session.Policy {
	return session.Policy{
		Role: roleOf(r.Role), Cap: r.Cap / 8, MaxLoss: r.MaxLoss,
		MaxRTT: time.Duration(r.MaxRTT * float64(time.Second)),
	}
}

func roleOf(name string) session.Role {
	switch name {
	case config.RoleBackup:
		return session.Backup
	case config.RoleOff:
		return session.Off
	}
	return session.Active
}

// enforce puts the policies into force where they have changed: here, at the
// server, and, after a moment for what is on its way, in the choice of
// interfaces.
func (c *Client) enforce(ctx context.Context) {
	s := c.current.Load()
	drain := false
	c.mu.Lock()
	for _, l := range c.links {
		p, reason := c.policy(l.name)
		conn := l.conn
		if s == nil || conn == nil || conn.policy == limits(p) {
			continue
		}
		if was := conn.policy.Role; was != p.Role {
			c.log.Info("role changed", "link", l.name, "was", was, "role", p.Role, "reason", reason)
		}
		conn.policy = limits(p)
		drain = drain || p.Role == config.RoleOff
		s.driver.SetPolicy(l.id, sending(p))
		conn.control.Post(control.LinkPolicy{LinkID: l.id, Rules: receiving(p)})
	}
	c.mu.Unlock()
	if drain {
		sleep(ctx, drainTime, nil)
	}
	c.selectInterfaces()
}

// limits is what of a policy a session has to know.
func limits(p config.LinkPolicy) config.LinkPolicy {
	p.Quota, p.ResetDay, p.AtQuota = 0, 0, ""
	return p
}

// account counts what links carry against their quotas until ctx ends.
func (c *Client) account(ctx context.Context) {
	tick := time.NewTicker(accountEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.countAll() {
				c.enforce(ctx)
			}
		case <-ctx.Done():
			c.mu.Lock()
			err := c.policies.usage.save()
			c.mu.Unlock()
			if err != nil {
				c.log.Warn(err.Error())
			}
			return
		}
	}
}

// countAll brings the accounts up to date, and tells whether a link is to be
// used in another way than it is: for its quota, or because that was decided
// while it connected.
func (c *Client) countAll() (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.links {
		c.count(l)
	}
	for _, ifc := range c.off { // a new period may have begun
		p, _ := c.policy(ifc.Name)
		changed = changed || p.Role != config.RoleOff
	}
	for _, l := range c.links {
		p, _ := c.policy(l.name)
		changed = changed || l.conn != nil && l.conn.policy != limits(p)
	}
	if c.policies.usage.due() {
		if err := c.policies.usage.save(); err != nil {
			c.log.Warn(err.Error())
		}
	}
	return changed
}

// count adds what a link's connection has carried since it was last counted;
// with the lock held.
func (c *Client) count(l *clientLink) {
	if l.conn == nil {
		return
	}
	udp := outerBytes(l.conn.udp.Counters(), l.conn.server.Addr().Is4())
	// A connection that is closed tells nothing, and counts no more.
	n := max(l.conn.counted, udp+l.conn.control.Carried())
	since := n - l.conn.counted
	l.conn.counted = n
	p, reason := c.policy(l.name)
	if p.Quota == 0 {
		return
	}
	if c.policies.usage.add(l.name, p, since) && reason == "" {
		_, reason = c.policy(l.name)
		c.log.Warn("quota reached", "link", l.name, "reason", reason)
	}
}

// LinkSettings is what a link is allowed, in the form of `multilink link list`:
// seconds, bit/s, shares of 1, bytes.
type LinkSettings struct {
	Name   string `json:"name"`
	State  string `json:"state"`            // as in a LinkStatus, or "unused"
	Role   string `json:"role"`             // in force
	Reason string `json:"reason,omitempty"` // why it is unused, or not in the role that was chosen

	CapUp   float64      `json:"cap_up,omitempty"`
	CapDown float64      `json:"cap_down,omitempty"`
	MaxRTT  float64      `json:"max_rtt,omitempty"`
	MaxLoss float64      `json:"max_loss,omitempty"`
	Quota   *QuotaStatus `json:"quota,omitempty"`
}

// QuotaStatus is how much of a quota is used.
type QuotaStatus struct {
	Limit    uint64 `json:"limit"`
	Used     uint64 `json:"used"`
	ResetDay int    `json:"reset_day"`
	Resets   string `json:"resets"`   // the date of the next reset
	AtQuota  string `json:"at_quota"` // the role when it is used up
}

// linkStates are the states of the links by name.
func (c *Client) linkStates() map[string]string {
	states := make(map[string]string)
	for _, l := range c.Status().Links {
		states[l.Name] = l.State
	}
	return states
}

// settings describes what an interface's link is allowed; with the lock held.
func (c *Client) settings(name string, states map[string]string) LinkSettings {
	p, reason := c.policy(name)
	s := LinkSettings{
		Name: name, State: cmp.Or(states[name], "unused"), Role: p.Role, Reason: reason,
		CapUp: p.CapUp, CapDown: p.CapDown, MaxRTT: p.MaxRTT.Seconds(), MaxLoss: p.MaxLoss,
	}
	if u := c.policies.usage; p.Quota > 0 && u != nil {
		s.Quota = &QuotaStatus{
			Limit: p.Quota, Used: u.account(name, p).Bytes, ResetDay: p.ResetDay, AtQuota: p.AtQuota,
			Resets: nextPeriod(u.now(), p.ResetDay).Format(time.DateOnly),
		}
	}
	if why := c.rejected[name]; why != "" {
		s.State, s.Reason = "unused", why
	}
	return s
}

// listLinks lists all interfaces there are, with what their links are allowed.
func (c *Client) listLinks(struct{}) ([]LinkSettings, error) {
	states := c.linkStates()
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []LinkSettings{}
	for _, ifc := range c.interfaces {
		if ifc.Name == c.cfg.TUN.Name || ifc.Kind == "loopback" {
			continue
		}
		list = append(list, c.settings(ifc.Name, states))
	}
	slices.SortFunc(list, func(a, b LinkSettings) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// LinkSetArguments are those of link-set: a change of what a link is allowed.
type LinkSetArguments struct {
	Name string `json:"name"` // of its interface
	config.LinkChange
	ResetUsage bool `json:"reset_usage,omitempty"` // counts its quota from zero
}

// setLink changes what a link is allowed, until the client ends or reads its
// configuration again.
func (c *Client) setLink(r LinkSetArguments) (LinkSettings, error) {
	if err := c.changeLink(r); err != nil {
		return LinkSettings{}, err
	}
	c.enforce(context.Background())
	states := c.linkStates()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings(r.Name, states), nil
}

func (c *Client) changeLink(r LinkSetArguments) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.interfaces, func(i netmon.Interface) bool { return i.Name == r.Name }) {
		return fmt.Errorf("there is no interface %q: there are %s", r.Name, strings.Join(interfaceNames(c.interfaces), ", "))
	}
	now, ok := c.policies.set[r.Name]
	if !ok {
		now = c.cfg.PolicyOf(r.Name)
	}
	next, err := r.Apply(now)
	if err != nil {
		return err
	}
	if r.ResetUsage {
		c.policies.usage.reset(r.Name)
	}
	if len(c.policies.set) >= maxAccounts { // names of interfaces that are gone
		maps.DeleteFunc(c.policies.set, func(name string, _ config.LinkPolicy) bool {
			return !slices.ContainsFunc(c.interfaces, func(i netmon.Interface) bool { return i.Name == name })
		})
	}
	c.policies.set[r.Name] = next
	return nil
}
