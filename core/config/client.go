package config

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/multilink-vpn/multilink/core/control"
)

// Client is the configuration of a client, with every default filled in.
type Client struct {
	Server    HostPort
	ServerKey control.PublicKey
	// PrivateKey comes from private_key or from PrivateKeyFile, which only
	// LoadClient reads.
	PrivateKey     control.PrivateKey
	PrivateKeyFile string

	Strategy   control.Strategy // what the client asks for
	TUN        TUN
	Underlay   Underlay
	Interfaces Interfaces
	Links      []LinkRule // the first that matches an interface counts
	Routes     Routes
	KillSwitch bool // let nothing past the tunnel, also while it is down
	DNS        DNS
	QoS        QoS
	// Grace is how long the session lives on without any link.
	Grace        time.Duration
	Log          Log
	Metrics      Metrics
	StatusSocket string // path of a Unix socket
	StateDir     string
	// UsageFile keeps how much of their quotas links have used.
	UsageFile string
}

// HostPort is a host, as a name or an address without brackets, and a port.
type HostPort struct {
	Host string
	Port uint16
}

// String returns "host:port", with an IPv6 address in brackets.
func (h HostPort) String() string {
	return net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port)))
}

// TUN is the tunnel's device.
type TUN struct {
	Name string
	// MTU is the largest inner packet in bytes. A server's is its key mtu.
	MTU  int
	Mode string // ModeAuto, ModeFast or ModePortable
}

// Underlay is how datagrams are sent and received.
type Underlay struct {
	Mode string // ModeAuto, ModeFast or ModePortable
	// Family is the address family that a client reaches its server by:
	// FamilyAny, Family4 or Family6. A server's is FamilyAny: what it listens
	// on decides.
	Family string
}

// Interfaces says which interfaces of the client may be links: names or
// patterns as of path.Match. Deny wins; an empty Allow allows all.
type Interfaces struct {
	Allow, Deny []string
}

// Routes says what goes through the tunnel.
type Routes struct {
	Default bool           // everything but Exclude
	Include []netip.Prefix // where not Default
	Exclude []netip.Prefix // never
	Mark    uint32         // of the client's own packets
	Table   int            // routing table of the tunnel
}

// DNS says which name servers the client asks.
type DNS struct {
	Mode string // DNSAuto or DNSOff
	// Servers replace those that the server announces.
	Servers []netip.Addr
}

// Log says what is logged and how.
type Log struct {
	Level  string // "debug", "info", "warn" or "error"
	Format string // "text" or "json"
}

func decodeClient(t *table) *Client {
	t.d.other = role{"server", func(t *table) { decodeServer(t) }}
	c := &Client{}
	c.Server = required(t, "server", `server = "vpn.example.org"`, serverAddress)
	c.ServerKey = required(t, "server_key", `server_key = "..." with what 'multilink keygen' printed as public_key on the server`, publicKey)
	c.PrivateKey, c.PrivateKeyFile = decodePrivateKey(t)
	c.Strategy = decodeStrategy(t)
	c.KillSwitch = get(t, "kill_switch", false, boolean)
	c.Grace = get(t, "grace", defaultGrace, grace)

	tun := t.table("tun")
	c.TUN = TUN{
		Name: get(tun, "name", defaultTUN, tunName),
		MTU:  get(tun, "mtu", defaultMTU, mtu),
		Mode: get(tun, "mode", ModeAuto, oneOf(modes...)),
	}
	underlay := t.table("underlay")
	c.Underlay = Underlay{
		Mode:   get(underlay, "mode", ModeAuto, oneOf(modes...)),
		Family: get(underlay, "family", FamilyAny, oneOf(FamilyAny, Family4, Family6)),
	}
	c.Interfaces = decodeInterfaces(t.table("interfaces"))
	c.Links = decodeLinks(t)
	c.Routes = decodeRoutes(t.table("routes"))
	dns := t.table("dns")
	c.DNS = DNS{
		Mode:    get(dns, "mode", DNSAuto, oneOf(DNSAuto, DNSOff)),
		Servers: get(dns, "servers", nil, list(address)),
	}
	c.QoS = decodeQoS(t.table("qos"))
	c.Log = decodeLog(t.table("log"))
	c.Metrics = decodeMetrics(t.table("metrics"))
	c.StateDir = get(t, "state_dir", RunDir, absolute)
	c.UsageFile = get(t, "usage_file", usageFile(c.TUN.Name), absolute)
	c.StatusSocket = get(t, "status_socket", statusSocket(c.TUN.Name), socketPath)
	checkClient(t, c)
	return c
}

func decodeInterfaces(t *table) Interfaces {
	i := Interfaces{
		Allow: get(t, "allow", nil, list(pattern)),
		Deny:  get(t, "deny", nil, list(pattern)),
	}
	for n, a := range i.Allow {
		if by, denied := deniedBy(i.Deny, a); denied {
			t.fail(elem("allow", n), quote(a), "", `interfaces.deny has `+quote(by)+`, which wins: remove one of them`)
		}
	}
	for n, d := range i.Deny {
		if d == "*" {
			t.fail(elem("deny", n), quote(d), "", "leaves no interface at all")
		}
	}
	return i
}

func decodeRoutes(t *table) Routes {
	r := Routes{
		Default: get(t, "default", true, boolean),
		Include: get(t, "include", nil, list(prefix)),
		Exclude: get(t, "exclude", nil, list(prefix)),
		Mark:    get(t, "mark", defaultMark, mark),
		Table:   get(t, "table", defaultTable, routingTable),
	}
	if r.Default && len(r.Include) > 0 {
		t.fail("include", show(t.values["include"]), "", "has no meaning when routes.default is true: everything goes through the tunnel already")
	}
	for n, e := range r.Exclude {
		name, value := elem("exclude", n), quote(e.String())
		if r.Default && e.Bits() == 0 {
			t.fail(name, value, "", "leaves nothing for the tunnel: set routes.default to false instead")
		}
		for _, i := range r.Include {
			if i == e {
				t.fail(name, value, "", "routes.include has the same prefix: remove one of them")
			}
		}
	}
	return r
}

// checkClient looks for what is possible alone but not together.
func checkClient(t *table, c *Client) {
	if c.KillSwitch && !c.Routes.Default {
		t.fail("kill_switch", "true", "", "needs routes.default = true: it would cut off what does not go through the tunnel")
	}
	if c.DNS.Mode == DNSOff && len(c.DNS.Servers) > 0 {
		dns := t.table("dns")
		dns.fail("servers", show(dns.values["servers"]), "", `has no meaning when dns.mode is "off"`)
	}
	if a, err := netip.ParseAddr(c.Server.Host); err == nil {
		if f := c.Underlay.Family; f == Family4 && a.Is6() || f == Family6 && a.Is4() {
			t.table("underlay").fail("family", quote(f), "", "server = "+quote(c.Server.Host)+" is of the other family")
		}
	}
}
