package config

import (
	"errors"
	"path"
	"strconv"
	"time"
)

// Roles of a link.
const (
	RoleActive = "active" // carries data
	RoleBackup = "backup" // carries data when no active link can, or none well
	RoleOff    = "off"    // is not used at all
)

// LinkPolicy is what the user allows a link. Rates are in bit/s with all
// headers, 0 is no limit.
type LinkPolicy struct {
	Role           string
	CapUp, CapDown float64
	// MaxRTT and MaxLoss (a share of 1) are what every active link must
	// exceed for the backups to help; 0: the link never calls for help.
	MaxRTT  time.Duration
	MaxLoss float64
	// Quota is the data of both directions, in bytes, that the link may
	// carry from one ResetDay of the month to the next; 0: no limit. A month
	// that has no such day resets on its last. AtQuota is the role that the
	// link has when the quota is used up, unless its own allows less.
	Quota    uint64
	ResetDay int
	AtQuota  string
}

// DefaultLinkPolicy is what a link may do that nothing is said of.
var DefaultLinkPolicy = LinkPolicy{Role: RoleActive, ResetDay: 1, AtQuota: RoleOff}

// LinkRule is the policy of the interfaces that a name or pattern matches.
type LinkRule struct {
	Name string
	LinkPolicy
}

// PolicyOf returns what the first rule that matches an interface allows it.
func (c *Client) PolicyOf(name string) LinkPolicy {
	for _, r := range c.Links {
		if match, _ := path.Match(r.Name, name); match {
			return r.LinkPolicy
		}
	}
	return DefaultLinkPolicy
}

func decodeLinks(t *table) []LinkRule {
	var rules []LinkRule
	var names []string
	for _, t := range t.tables("links") {
		d := DefaultLinkPolicy
		r := LinkRule{
			Name: required(t, "name", `name = "wwan*" with the name or a pattern of interfaces`, pattern),
			LinkPolicy: LinkPolicy{
				Role:     get(t, "role", d.Role, oneOf(RoleActive, RoleBackup, RoleOff)),
				CapUp:    get(t, "cap_up", d.CapUp, rate),
				CapDown:  get(t, "cap_down", d.CapDown, rate),
				MaxRTT:   get(t, "max_rtt", d.MaxRTT, roundTrip),
				MaxLoss:  get(t, "max_loss", d.MaxLoss, share),
				Quota:    get(t, "quota", d.Quota, volume),
				ResetDay: get(t, "reset_day", d.ResetDay, integer(1, 31)),
				AtQuota:  get(t, "at_quota", d.AtQuota, oneOf(RoleOff, RoleBackup)),
			},
		}
		if by, useless := deniedBy(names, r.Name); useless {
			t.fail("name", quote(r.Name), "", "has no effect: an earlier entry matches it, "+quote(by)+", and the first counts")
		}
		names = append(names, r.Name)
		rules = append(rules, r)
		needQuota(t)
	}
	return rules
}

// needQuota refuses what is said about a quota of a link that has none. One of
// "none" will do: somebody has taken the limit away for a while.
func needQuota(t *table) {
	if _, there := t.values["quota"]; there {
		return
	}
	for _, key := range []string{"reset_day", "at_quota"} {
		if v, there := t.values[key]; there {
			t.fail(key, show(v), "", `has no meaning without a quota: add one, such as quota = "10 GB", or remove `+key)
		}
	}
}

// LinkChange is what a user asks to be different about a link, in the words of
// the configuration file; what is empty stays as it is.
type LinkChange struct {
	Role     string `json:"role,omitempty"`
	CapUp    string `json:"cap_up,omitempty"`
	CapDown  string `json:"cap_down,omitempty"`
	MaxRTT   string `json:"max_rtt,omitempty"`
	MaxLoss  string `json:"max_loss,omitempty"`
	Quota    string `json:"quota,omitempty"`
	ResetDay string `json:"reset_day,omitempty"`
	AtQuota  string `json:"at_quota,omitempty"`
}

// Apply returns p with the change made. Its error names every part that is
// wrong, and what would be right.
func (c LinkChange) Apply(p LinkPolicy) (LinkPolicy, error) {
	var errs []error
	change(&errs, "role", c.Role, &p.Role, oneOf(RoleActive, RoleBackup, RoleOff))
	change(&errs, "cap_up", c.CapUp, &p.CapUp, rate)
	change(&errs, "cap_down", c.CapDown, &p.CapDown, rate)
	change(&errs, "max_rtt", c.MaxRTT, &p.MaxRTT, roundTrip)
	change(&errs, "max_loss", c.MaxLoss, &p.MaxLoss, share)
	change(&errs, "quota", c.Quota, &p.Quota, volume)
	change(&errs, "reset_day", c.ResetDay, &p.ResetDay, func(v any) (int, error) {
		n, _ := strconv.ParseInt(v.(string), 10, 64)
		return integer(1, 31)(n)
	})
	change(&errs, "at_quota", c.AtQuota, &p.AtQuota, oneOf(RoleOff, RoleBackup))
	return p, errors.Join(errs...)
}

func change[T any](errs *[]error, key, text string, to *T, parse func(any) (T, error)) {
	if text == "" {
		return
	}
	v, err := parse(text)
	if err != nil {
		*errs = append(*errs, &Error{Key: key, Value: quote(text), Want: err.Error()})
		return
	}
	*to = v
}
