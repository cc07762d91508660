package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/underlay"
)

// resolvConf is where the host's name servers are.
const resolvConf = "/etc/resolv.conf"

// lookupFunc asks the name servers of the host over a link.
type lookupFunc func(ctx context.Context, over underlay.Options, host string) ([]netip.Addr, error)

// resolver finds the addresses of the server over each link. What one link
// found serves the others too: a name may resolve on one access network only,
// and over none while the host's resolver is directed into the tunnel.
type resolver struct {
	host   string
	lookup lookupFunc

	mu   sync.Mutex
	last []netip.Addr // found last, on any link
	good netip.Addr   // answered last
}

func newResolver(server config.HostPort, lookup lookupFunc) *resolver {
	return &resolver{host: server.Host, lookup: lookup}
}

// addresses returns the server's addresses, the one that answered last first.
func (r *resolver) addresses(ctx context.Context, over underlay.Options) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(r.host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	found, err := r.lookup(ctx, over, r.host)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && len(found) > 0 {
		r.last = found
	} else if len(r.last) == 0 {
		return nil, fmt.Errorf("the server's name %s does not resolve over %s: %w", r.host, over.Device, err)
	}
	list := slices.Clone(r.last)
	if i := slices.Index(list, r.good); i > 0 {
		list[0], list[i] = list[i], list[0]
	}
	return list, nil
}

// answered notes that the server is there.
func (r *resolver) answered(a netip.Addr) {
	r.mu.Lock()
	r.good = a
	r.mu.Unlock()
}

// hostLookup asks the name servers that the host has now, before the tunnel
// brings its own, past the tunnel and over the link that asks.
func hostLookup() lookupFunc {
	var servers []string
	if conf, err := dns.ClientConfigFromFile(resolvConf); err == nil {
		servers = conf.Servers
	}
	return func(ctx context.Context, over underlay.Options, host string) ([]netip.Addr, error) {
		var turn atomic.Uint32
		r := net.Resolver{
			PreferGo: true,
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if len(servers) > 0 {
					n := int(turn.Add(1)-1) % len(servers)
					address = net.JoinHostPort(servers[n], "53")
				}
				var d net.Dialer
				// A resolver on this host is not behind any link.
				if ap, err := netip.ParseAddrPort(address); err != nil || !ap.Addr().IsLoopback() {
					d.Control = underlay.Control(over)
				}
				return d.DialContext(ctx, network, address)
			},
		}
		found, err := r.LookupNetIP(ctx, "ip", host)
		for i, a := range found {
			found[i] = a.Unmap()
		}
		return found, err
	}
}
