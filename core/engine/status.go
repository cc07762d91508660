package engine

import (
	"time"

	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/core/tun"
	"github.com/multilink-vpn/multilink/core/underlay"
)

// State is what a client or server is up to.
type State string

// The states.
const (
	Starting   State = "starting"   // nothing is set up yet
	Connecting State = "connecting" // no link has ever answered
	Up         State = "up"         // a link carries data; a server: it serves
	Failing    State = "failing"    // every link fails for a reason that waiting does not mend
	NoLink     State = "no-link"    // a session, but no link at the moment
)

// Status is what a running client or server believes at one moment, in the
// form of `multilink status --json`. Durations are in seconds, rates in bit/s,
// shares of 1.
type Status struct {
	Role    string  `json:"role"` // "client" or "server"
	Version string  `json:"version"`
	PID     int     `json:"pid"`
	State   State   `json:"state"`
	Reason  string  `json:"reason,omitempty"` // why the state is not "up"
	Uptime  float64 `json:"uptime"`
	// Warnings are about this host: what is likely to stop traffic.
	Warnings []string  `json:"warnings,omitempty"`
	TUN      TUNStatus `json:"tun"`
	// Of a client: its session, and one entry for each interface in use.
	Session *SessionStatus `json:"session,omitempty"`
	Links   []LinkStatus   `json:"links,omitempty"`
	// Rejected holds the interfaces not in use, with the reason.
	Rejected map[string]string `json:"rejected_interfaces,omitempty"`
	// Of a server: where it listens, and the clients that have a session.
	Listen  string         `json:"listen,omitempty"`
	Clients []ClientStatus `json:"clients,omitempty"`
	// Counters are the totals of sessions, device, sockets and engine since
	// the start, by name.
	Counters Counters `json:"counters"`
}

// TUNStatus describes the device.
type TUNStatus struct {
	Name string `json:"name"`
	tun.Info
}

// SessionStatus describes a session without its links.
type SessionStatus struct {
	ID          string           `json:"id"`
	ClientID    uint32           `json:"client_id"`
	Addresses   []string         `json:"addresses"` // the client's, in the tunnel
	MTU         int              `json:"mtu"`
	Suite       string           `json:"suite"`
	Since       float64          `json:"since"` // age
	Scheduler   string           `json:"scheduler"`
	Reorder     string           `json:"reorder"`
	RateControl bool             `json:"rate_control"`
	Retransmit  bool             `json:"retransmit"`
	Equalize    string           `json:"equalize"`
	Reports     string           `json:"reports"`
	Classifier  string           `json:"classifier"`
	Equalized   int              `json:"equalized"` // flows for which "auto" holds packets now
	QoS         QoSStatus        `json:"qos"`
	QueueBytes  int              `json:"queue_bytes"`
	HeldBytes   int              `json:"held_bytes"`
	Counters    session.Counters `json:"counters"`
}

// QoSStatus describes the rules of quality of service.
type QoSStatus struct {
	// Mode is what is done for the client's downloads: "queue", "window" or "off".
	Mode   string `json:"mode"`
	Reason string `json:"reason,omitempty"` // why it is not the mode that was configured
	Rules  int    `json:"rules"`            // in force
}

// LinkStatus describes a link and the connections it is made of.
type LinkStatus struct {
	session.Link
	Interface string        `json:"interface,omitempty"` // of a client
	Address   string        `json:"address"`             // the local outer address
	Server    string        `json:"server,omitempty"`    // of a client
	Underlay  underlay.Info `json:"underlay"`
	Control   string        `json:"control"` // "up", "connecting" or "down"
	LastError string        `json:"last_error,omitempty"`
	Since     float64       `json:"since"` // time in this control state
	// Of a client: why the role is not the one that was chosen, and the quota.
	RoleReason string       `json:"role_reason,omitempty"`
	Quota      *QuotaStatus `json:"quota,omitempty"`
}

// ClientStatus describes a client of the server.
type ClientStatus struct {
	Name string `json:"name"`
	Key  string `json:"key"`
	SessionStatus
	Links []LinkStatus `json:"links"`
}

// fill takes over what a session says of itself.
func (s *SessionStatus) fill(snap session.Snapshot) {
	s.Scheduler, s.Reorder = snap.Scheduler, snap.Reorder
	s.RateControl, s.Retransmit = snap.RateControl, snap.Retransmit
	s.Equalize, s.Equalized, s.Reports = snap.Equalize, snap.Equalized, snap.Reports
	s.Classifier = snap.Classifier
	s.QueueBytes, s.HeldBytes = snap.QueueBytes, snap.HeldBytes
	s.Counters = snap.Counters
}

// age returns the seconds since a moment, with a resolution of milliseconds.
func age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return time.Since(t).Round(time.Millisecond).Seconds()
}
