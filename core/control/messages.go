package control

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/qos"
)

// Version is the version of the control protocol that this package speaks.
const Version = 1

// Bounds of what a message may hold.
const (
	maxName     = 64  // bytes of a name: software, session, suite, strategy
	maxLinkName = 15  // bytes of an interface name in Linux
	maxReason   = 512 // bytes of a text for people
	maxList     = 16  // entries of a list
	maxSecret   = 64  // bytes
	minMTU      = 1280
	maxMTU      = 65535
	maxQuantity = 1e15 // of a number that means an amount
)

// Message is what the two ends of a control connection send each other: one of
// the types of this file, as a value.
type Message interface {
	kind() kind
	// check says whether the contents are possible. What is possible but not
	// wanted, such as an unknown scheduler, is for the receiver to answer.
	check() error
}

// kind is the number of a message type on the wire.
type kind uint8

const (
	kindHello kind = iota + 1
	kindWelcome
	kindReject
	kindPing
	kindPong
	kindReconfigure
	kindLinkPolicy
	kindGoodbye
	kindQoS
	kindLinksGone
)

// kindDatagram is the type of the messages that carry datagrams, which are no
// Message; see Conn.WriteDatagrams.
const kindDatagram kind = 0x40

// Secret is shown only on the wire.
type Secret []byte

// String does not show the secret.
func (s Secret) String() string { return "(secret)" }

// GoString does not show the secret.
func (s Secret) GoString() string { return s.String() }

// LogValue does not show the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// SessionRef names a session and proves that its bearer belongs to it.
type SessionRef struct {
	ID     string `json:"id"`
	Secret Secret `json:"secret"`
}

// IsZero says that no session is meant.
func (r SessionRef) IsZero() bool { return r.ID == "" && len(r.Secret) == 0 }

// PerDirection is a choice made for each direction: Up is client to server.
type PerDirection struct {
	Up   string `json:"up"`
	Down string `json:"down"`
}

// Strategy is how a session sends and restores order. A scheduler is run by the
// sender of its direction, a resequencer by the receiver.
type Strategy struct {
	Scheduler   PerDirection `json:"scheduler"`
	Reorder     PerDirection `json:"reorder"`
	RateControl bool         `json:"rate_control"`
	Retransmit  bool         `json:"retransmit"`
	Equalize    string       `json:"equalize"` // "auto", "on" or "off"
	Reports     string       `json:"reports"`  // "auto" or "rare"
	// Classifier recognises calls, at both ends.
	Classifier string `json:"classifier"`
}

// Hello is the client's first message on every connection: one link asks to be
// part of a session.
type Hello struct {
	Version  int         `json:"version"`
	Software string      `json:"software"`
	LinkID   core.LinkID `json:"link_id"`
	LinkName string      `json:"link_name"`
	// Session is the session to join; zero opens a new one.
	Session SessionRef `json:"session"`
	// ReceiverIndex is what the server puts into the datagrams of this link.
	ReceiverIndex uint32   `json:"receiver_index"`
	Suites        []string `json:"suites"` // the best first
	// Strategy is what the client asks for.
	Strategy Strategy `json:"strategy"`
	MTU      int      `json:"mtu"` // largest inner packet the client wants, bytes
	// Rules are what the user allows this link.
	Rules LinkRules `json:"rules"`
}

// Welcome answers a Hello: the link is part of the session.
type Welcome struct {
	ClientID uint32     `json:"client_id"`
	Session  SessionRef `json:"session"`
	// Address4 and Address6 are the client's addresses in the tunnel with the
	// length of the tunnel's prefix, Gateway4 and Gateway6 the server's. A
	// family that the server does not have is zero.
	Address4 netip.Prefix `json:"address4"`
	Address6 netip.Prefix `json:"address6"`
	Gateway4 netip.Addr   `json:"gateway4"`
	Gateway6 netip.Addr   `json:"gateway6"`
	MTU      int          `json:"mtu"` // largest inner packet, bytes
	DNS      []netip.Addr `json:"dns"`
	// ReceiverIndex is what the client puts into the datagrams of this link.
	ReceiverIndex uint32 `json:"receiver_index"`
	UDPPort       uint16 `json:"udp_port"`
	Suite         string `json:"suite"`
	// Strategy is the one in force, which may not be the one asked for.
	Strategy Strategy `json:"strategy"`
}

// Code says why a server rejects a link.
type Code string

// The codes of a Reject.
const (
	CodeUnknownKey    Code = "unknown-key"
	CodeVersion       Code = "version"
	CodePoolExhausted Code = "pool-exhausted"
	CodeBadSession    Code = "bad-session" // no such session, or not this client's
	CodeLinkInUse     Code = "link-in-use"
	CodeSuite         Code = "suite" // none in common
	CodeBusy          Code = "busy"  // a bound of the server is reached: try again
	CodeBadRequest    Code = "bad-request"
)

// Reject answers a Hello that the server does not accept; the server closes
// the connection after it.
type Reject struct {
	Code   Code   `json:"code"`
	Reason string `json:"reason"` // for people
}

// Ping asks for a Pong with the same ID.
type Ping struct {
	ID uint64 `json:"id"`
}

// Pong answers a Ping.
type Pong struct {
	ID uint64 `json:"id"`
}

// Reconfigure changes the strategy of a running session: a client asks with
// it, a server says with it what is in force.
type Reconfigure struct {
	Strategy Strategy `json:"strategy"`
}

// LinkRules are what the user allows a link in the direction that the receiver
// of the message sends in.
type LinkRules struct {
	Role string `json:"role"` // "active", "backup" or "off"; empty for active
	// Cap is in bit/s with all headers; 0: no limit.
	Cap float64 `json:"cap,omitempty"`
	// MaxRTT, in seconds, and MaxLoss, a share of 1, are what every active
	// link must exceed for the backups to help; 0: no such limit.
	MaxRTT  float64 `json:"max_rtt,omitempty"`
	MaxLoss float64 `json:"max_loss,omitempty"`
}

// LinkPolicy changes the rules of a link.
type LinkPolicy struct {
	LinkID core.LinkID `json:"link_id"`
	Rules  LinkRules   `json:"rules"`
}

// QoS is about the rules by which the server gives priority and latency to what
// it sends: a client asks with Rules, which take the place of those before; a
// server answers without, and says why where it does not follow them.
type QoS struct {
	Rules   []qos.Text `json:"rules,omitempty"`
	Refused string     `json:"refused,omitempty"` // for people; "": in force
}

// MaxLinksGone is how many links a LinksGone can name.
const MaxLinksGone = maxList

// LinksGone says over other links which links of the session the client has lost:
// nothing more can come over them, and what is under way to the client is lost.
type LinksGone struct {
	// Receivers are the receiver indexes that the server's Welcomes gave them, so
	// that links that have joined anew since are not meant.
	Receivers []uint32 `json:"receivers"`
}

// Goodbye ends a session in order: its sender keeps nothing of it.
type Goodbye struct {
	Reason string `json:"reason"`
}

func (Hello) kind() kind       { return kindHello }
func (Welcome) kind() kind     { return kindWelcome }
func (Reject) kind() kind      { return kindReject }
func (Ping) kind() kind        { return kindPing }
func (Pong) kind() kind        { return kindPong }
func (Reconfigure) kind() kind { return kindReconfigure }
func (LinkPolicy) kind() kind  { return kindLinkPolicy }
func (Goodbye) kind() kind     { return kindGoodbye }
func (QoS) kind() kind         { return kindQoS }
func (LinksGone) kind() kind   { return kindLinksGone }

func (h Hello) check() error {
	if h.Version != Version {
		return nil // answered with CodeVersion, whatever else it says
	}
	errs := []error{
		checkText("software", h.Software, maxName),
		checkLink(h.LinkID),
		checkText("link_name", h.LinkName, maxLinkName),
		h.Session.check(),
		h.Strategy.check(),
		h.Rules.check(),
		checkMTU(h.MTU),
		checkCount("suites", len(h.Suites)),
	}
	for _, s := range h.Suites {
		errs = append(errs, checkText("suites", s, maxName))
	}
	return errors.Join(errs...)
}

func (w Welcome) check() error {
	errs := []error{
		w.Session.check(),
		checkText("suite", w.Suite, maxName),
		w.Strategy.check(),
		checkMTU(w.MTU),
		checkCount("dns", len(w.DNS)),
	}
	if w.Session.IsZero() {
		errs = append(errs, errors.New("session is missing"))
	}
	if w.UDPPort == 0 {
		errs = append(errs, errors.New("udp_port is missing"))
	}
	if !w.Address4.IsValid() && !w.Address6.IsValid() {
		errs = append(errs, errors.New("neither address4 nor address6"))
	}
	if w.Address4.IsValid() && (!w.Address4.Addr().Is4() || !w.Gateway4.Is4()) {
		errs = append(errs, fmt.Errorf("address4 %v with gateway4 %v: not IPv4", w.Address4, w.Gateway4))
	}
	if w.Address6.IsValid() && (!is6(w.Address6.Addr()) || !is6(w.Gateway6)) {
		errs = append(errs, fmt.Errorf("address6 %v with gateway6 %v: not IPv6", w.Address6, w.Gateway6))
	}
	return errors.Join(errs...)
}

func (r Reject) check() error {
	return errors.Join(checkText("code", string(r.Code), maxName), checkText("reason", r.Reason, maxReason))
}

func (Ping) check() error          { return nil }
func (Pong) check() error          { return nil }
func (r Reconfigure) check() error { return r.Strategy.check() }

func (p LinkPolicy) check() error { return errors.Join(checkLink(p.LinkID), p.Rules.check()) }

func (r LinkRules) check() error {
	var errs []error
	switch r.Role {
	case "", "active", "backup", "off":
	default:
		errs = append(errs, fmt.Errorf("role %.32q: must be active, backup or off", r.Role))
	}
	for name, v := range map[string]float64{"cap": r.Cap, "max_rtt": r.MaxRTT, "max_loss": r.MaxLoss} {
		if v < 0 || v > maxQuantity {
			errs = append(errs, fmt.Errorf("%s %v: must be 0..%v", name, v, maxQuantity))
		}
	}
	return errors.Join(errs...)
}

// check leaves it to the receiver to parse the rules.
func (q QoS) check() error {
	if n := len(q.Rules); n > qos.MaxRules {
		return fmt.Errorf("%d rules: at most %d", n, qos.MaxRules)
	}
	return checkText("refused", q.Refused, maxReason)
}

func (g LinksGone) check() error { return checkCount("receivers", len(g.Receivers)) }

func (g Goodbye) check() error { return checkText("reason", g.Reason, maxReason) }

func (r SessionRef) check() error {
	if (r.ID == "") != (len(r.Secret) == 0) {
		return errors.New("session needs both id and secret, or neither")
	}
	if len(r.Secret) > maxSecret {
		return fmt.Errorf("session secret of %d bytes: at most %d", len(r.Secret), maxSecret)
	}
	return checkText("session id", r.ID, maxName)
}

func (s Strategy) check() error {
	return errors.Join(
		checkText("scheduler", s.Scheduler.Up, maxName),
		checkText("scheduler", s.Scheduler.Down, maxName),
		checkText("reorder", s.Reorder.Up, maxName),
		checkText("reorder", s.Reorder.Down, maxName),
		checkText("equalize", s.Equalize, maxName),
		checkText("reports", s.Reports, maxName),
		checkText("classifier", s.Classifier, maxName),
	)
}

func is6(a netip.Addr) bool { return a.Is6() && !a.Is4In6() }

func checkLink(id core.LinkID) error {
	if id >= core.MaxLinks {
		return fmt.Errorf("link_id %d: must be below %d", id, core.MaxLinks)
	}
	return nil
}

func checkMTU(mtu int) error {
	if mtu < minMTU || mtu > maxMTU {
		return fmt.Errorf("mtu %d: must be %d..%d", mtu, minMTU, maxMTU)
	}
	return nil
}

func checkCount(name string, n int) error {
	if n > maxList {
		return fmt.Errorf("%s has %d entries: at most %d", name, n, maxList)
	}
	return nil
}

// checkText keeps what a peer says from breaking logs and terminals.
func checkText(name, s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("%s has %d bytes: at most %d", name, len(s), limit)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not UTF-8", name)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%s has the unprintable character %U", name, r)
		}
	}
	return nil
}

// printable makes s pass checkText.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	for i := range s {
		if i+utf8.UTFMax > limit {
			return s[:i]
		}
	}
	return s
}
