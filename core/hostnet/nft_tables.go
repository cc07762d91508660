package hostnet

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// linkSet is the set of the client's links in a table with a kill switch.
const linkSet = "links"

// tableWriter collects the chains and rules of one table.
type tableWriter struct {
	conn  *nftables.Conn
	table *nftables.Table
}

func (w tableWriter) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) func(...[]expr.Any) {
	policy := nftables.ChainPolicyAccept
	chain := w.conn.AddChain(&nftables.Chain{
		Name: name, Table: w.table, Type: kind, Hooknum: hook, Priority: priority, Policy: &policy,
	})
	return func(pieces ...[]expr.Any) {
		w.conn.AddRule(&nftables.Rule{Table: w.table, Chain: chain, Exprs: rule(pieces...)})
	}
}

// againstSpoofing drops packets to a tunnel address that come neither through
// the tunnel nor from this host: nobody on the local network may reach into
// the tunnel (CVE-2019-14899). With pools, it also drops those that pretend to
// come from a client.
func (w tableWriter) againstSpoofing(tun string, addresses, pools []netip.Prefix) {
	add := w.chain("prerouting_raw", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	for _, address := range addresses {
		host := netip.PrefixFrom(address.Addr(), address.Addr().BitLen())
		add(notFrom(tun), within(destination, host), sourceNotLocal(), then(drop()))
	}
	for _, pool := range pools {
		add(notFrom(tun), within(source, pool), sourceNotLocal(), then(drop()))
	}
}

// sourceNotLocal compares the type of route to the source, rtnetlink(7).
func sourceNotLocal() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagSADDR: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
	}
}

// markReplies gives packets for the product's own sockets the mark that those
// sockets have, before the kernel or a firewall looks for the way back to their
// source. Without it, that way would seem to lead into the tunnel.
func (w tableWriter) markReplies(tun string, mark uint32) {
	add := w.chain("prerouting_mangle", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityMangle)
	value := binaryutil.NativeEndian.PutUint32(mark)
	for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		add(notFrom(tun), meta(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{protocol}), []expr.Any{
			&expr.Socket{Key: expr.SocketKeyMark, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value},
			&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
		})
	}
}

// clientTable returns what fills a client's table.
func clientTable(p ClientPlan) func(*nftables.Conn, *nftables.Table) error {
	return func(conn *nftables.Conn, table *nftables.Table) error {
		w := tableWriter{conn, table}
		w.againstSpoofing(p.TUN, p.Addresses, nil)
		w.markReplies(p.TUN, p.Mark)
		if !p.KillSwitch {
			return nil
		}
		w.killOutput(p)
		return w.killForward(p)
	}
}

// killOutput rejects what this host sends past the tunnel.
func (w tableWriter) killOutput(p ClientPlan) {
	add := w.chain("output", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter)
	add(marked(p.Mark), then(accept()))
	add(outBy(p.TUN), then(accept()))
	add(outBy("lo"), then(accept()))
	for _, prefix := range unique(p.Exclude) {
		add(within(destination, prefix), then(accept()))
	}
	add(udp(68, 67), then(accept()))   // DHCP, RFC 2131
	add(udp(546, 547), then(accept())) // DHCPv6, RFC 8415
	for _, kind := range linkUpkeep {
		add(meta(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{unix.IPPROTO_ICMPV6}),
			payload(expr.PayloadBaseTransportHeader, 0, kind), then(accept()))
	}
	add(then(reject()))
}

// linkUpkeep are the ICMPv6 types without which an IPv6 link stops to work:
// multicast listener (RFC 3810) and neighbour discovery (RFC 4861).
var linkUpkeep = []byte{131, 132, 133, 135, 136, 143}

// killForward rejects what others send through this host past the tunnel.
func (w tableWriter) killForward(p ClientPlan) error {
	links := &nftables.Set{Name: linkSet, Table: w.table, KeyType: nftables.TypeIFName}
	if err := w.conn.AddSet(links, linkElements(p.Links)); err != nil {
		return err
	}
	add := w.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	for _, prefix := range unique(p.Exclude) {
		add(within(destination, prefix), then(accept()))
	}
	add(outByAny(links), then(reject()))
	return nil
}

func linkElements(links []string) []nftables.SetElement {
	sorted := slices.Clone(links)
	slices.Sort(sorted)
	var elements []nftables.SetElement
	for _, name := range slices.Compact(sorted) {
		elements = append(elements, nftables.SetElement{Key: interfaceName(name)})
	}
	return elements
}

// replaceLinks changes the links that a kill switch watches, in one
// transaction.
func replaceLinks(tun string, links []string) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("hostnet: nftables: %w", err)
	}
	table := &nftables.Table{Name: tableName(tun), Family: nftables.TableFamilyINet}
	set := &nftables.Set{Name: linkSet, Table: table, KeyType: nftables.TypeIFName}
	conn.FlushSet(set)
	if elements := linkElements(links); len(elements) > 0 {
		if err := conn.SetAddElements(set, elements); err != nil {
			return fmt.Errorf("hostnet: links of the kill switch: %w", err)
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("hostnet: links of the kill switch: %w", err)
	}
	return nil
}

// serverTable returns what fills a server's table.
func serverTable(p ServerPlan) func(*nftables.Conn, *nftables.Table) error {
	return func(conn *nftables.Conn, table *nftables.Table) error {
		w := tableWriter{conn, table}
		var pools []netip.Prefix
		for _, address := range p.Addresses {
			pools = append(pools, address.Masked())
		}
		w.againstSpoofing(p.TUN, p.Addresses, unique(append(pools, p.Masquerade...)))
		if len(p.Masquerade) == 0 {
			return nil
		}
		out := notOutBy(p.TUN)
		if p.Uplink != "" {
			out = outBy(p.Uplink)
		}
		add := w.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
		for _, pool := range unique(p.Masquerade) {
			add(within(source, pool), out, then(&expr.Masq{}))
		}
		return nil
	}
}
