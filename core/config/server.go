package config

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/multilink-vpn/multilink/core/control"
)

// Server is the configuration of a server, with every default filled in.
type Server struct {
	// Listen is where control connections and datagrams arrive; without an
	// address (not valid) on every one of the host.
	Listen netip.AddrPort
	// PrivateKey comes from private_key or from PrivateKeyFile, which only
	// LoadServer reads.
	PrivateKey     control.PrivateKey
	PrivateKeyFile string

	Clients    []ServerClient
	MaxClients int // sessions at the same time
	Pool4      netip.Prefix
	Pool6      netip.Prefix // either pool may be missing (not valid)
	DNS        []netip.Addr // announced to clients
	// Uplink is the only interface to masquerade on; "": all but the tunnel.
	Uplink         string
	Masquerade     bool
	ClientToClient bool // clients may reach each other

	// Strategy is in force when AllowClientStrategy is false, and takes the
	// place of what a client asks for but this server does not have.
	Strategy            control.Strategy
	AllowClientStrategy bool
	// AllowQoS lets clients decide about the priorities of what they are sent.
	AllowQoS bool

	TUN      TUN
	Underlay Underlay
	// Grace is how long a session lives on without any link.
	Grace        time.Duration
	Log          Log
	Metrics      Metrics
	StatusSocket string // path of a Unix socket
	StateDir     string
}

// ServerClient is a client that may connect.
type ServerClient struct {
	Name      string
	PublicKey control.PublicKey
	// Address4 and Address6 are its addresses in the tunnel; not valid where
	// the server chooses.
	Address4, Address6 netip.Addr
}

func decodeServer(t *table) *Server {
	t.d.other = role{"client", func(t *table) { decodeClient(t) }}
	s := &Server{}
	s.Listen = get(t, "listen", netip.AddrPortFrom(netip.Addr{}, DefaultPort), listenAddress)
	s.PrivateKey, s.PrivateKeyFile = decodePrivateKey(t)
	s.DNS = get(t, "dns", nil, list(address))
	s.Uplink = get(t, "uplink", "", optional(interfaceName))
	s.Masquerade = get(t, "masquerade", true, boolean)
	s.ClientToClient = get(t, "client_to_client", false, boolean)
	s.Strategy = decodeStrategy(t)
	s.AllowClientStrategy = get(t, "allow_client_strategy", true, boolean)
	s.AllowQoS = get(t.table("qos"), "allow", true, boolean)
	s.Grace = get(t, "grace", defaultGrace, grace)
	s.Underlay = Underlay{Mode: get(t.table("underlay"), "mode", ModeAuto, oneOf(modes...)), Family: FamilyAny}

	tun := t.table("tun")
	s.TUN = TUN{
		Name: get(tun, "name", defaultTUN, tunName),
		MTU:  get(t, "mtu", defaultMTU, mtu),
		Mode: get(tun, "mode", ModeAuto, oneOf(modes...)),
	}
	if s.Uplink != "" && s.Uplink == s.TUN.Name {
		t.fail("uplink", quote(s.Uplink), "", "is the tunnel itself (tun.name): must be the interface that leads to the internet")
	}
	s.Log = decodeLog(t.table("log"))
	s.Metrics = decodeMetrics(t.table("metrics"))
	s.StateDir = get(t, "state_dir", VarDir, absolute)
	s.StatusSocket = get(t, "status_socket", statusSocket(s.TUN.Name), socketPath)
	s.Pool4, s.Pool6 = decodePools(t.table("addresses"))
	s.Clients = decodeClients(t.tables("clients"), s.Pool4, s.Pool6)
	s.MaxClients = decodeMaxClients(t, s)
	if len(s.Clients) == 0 && !t.d.partial {
		t.d.warn("no [[clients]]: nobody can connect")
	}
	return s
}

func decodePools(t *table) (pool4, pool6 netip.Prefix) {
	pool4 = get(t, "pool4", defaultPool4, optional(pool(4, 8, 30)))
	pool6 = get(t, "pool6", defaultPool6, optional(pool(6, 32, 126)))
	if !pool4.IsValid() && !pool6.IsValid() {
		t.fail("pool6", `""`, "", "pool4 is empty too: clients need addresses of at least one family")
	}
	return pool4, pool6
}

// room returns how many clients a pool has addresses for.
func room(pool netip.Prefix) int {
	free := pool.Addr().BitLen() - pool.Bits()
	if !pool.IsValid() || free > 24 {
		return 1 << 24
	}
	taken := 2 // the pool's own address and the gateway
	if pool.Addr().Is4() {
		taken++ // the broadcast address
	}
	return 1<<free - taken
}

func decodeMaxClients(t *table, s *Server) int {
	smallest, name := s.Pool4, "pool4"
	if room(s.Pool6) < room(s.Pool4) {
		smallest, name = s.Pool6, "pool6"
	}
	space := room(smallest)
	if n := len(s.Clients); n > space {
		t.table("addresses").fail(name, quote(smallest.String()),
			fmt.Sprintf("has room for %d, [[clients]] lists %d", space, n), "use a larger pool")
	}
	n := get(t, "max_clients", min(defaultMaxClients, space), integer(1, maxMaxClients))
	if n > space {
		t.fail("max_clients", show(t.values["max_clients"]), "",
			fmt.Sprintf("addresses.%s = %q has room for %d", name, smallest, space))
	}
	return n
}

func decodeClients(tables []*table, pool4, pool6 netip.Prefix) []ServerClient {
	var clients []ServerClient
	unique := uniqueness{}
	for _, t := range tables {
		c := ServerClient{
			Name:      required(t, "name", `name = "laptop"`, clientName),
			PublicKey: required(t, "public_key", `public_key = "..." with what 'multilink keygen' printed on the client`, publicKey),
			Address4:  get(t, "address4", netip.Addr{}, clientAddress(4, pool4)),
			Address6:  get(t, "address6", netip.Addr{}, clientAddress(6, pool6)),
		}
		if c.Name != "" {
			unique.check(t, "name", c.Name)
		}
		if !c.PublicKey.IsZero() {
			unique.check(t, "public_key", c.PublicKey.String())
		}
		if c.Address4.IsValid() {
			unique.check(t, "address4", c.Address4.String())
		}
		if c.Address6.IsValid() {
			unique.check(t, "address6", c.Address6.String())
		}
		clients = append(clients, c)
	}
	return clients
}

// uniqueness remembers which client had which value first.
type uniqueness map[[2]string]string

func (u uniqueness) check(t *table, key, value string) {
	id := [2]string{key, value}
	if first, taken := u[id]; taken {
		t.fail(key, quote(value), "", fmt.Sprintf("%s has the same: every client needs its own", first))
		return
	}
	u[id] = t.path
}
