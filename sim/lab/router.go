package lab

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The interfaces of a NAT router.
const (
	lanPort = "lan"
	wanPort = "wan"
)

// masquerade makes a router hide what is behind it, as home routers do: each
// connection gets an address and a random port of the router's outside, and
// what comes from outside without being an answer vanishes.
func (s *space) masquerade() error {
	c, err := nftables.New(nftables.WithNetNSFd(int(s.ns)))
	if err != nil {
		return s.errorf(err, "nftables")
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "nat"})
	postrouting := c.AddChain(&nftables.Chain{Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
	c.AddRule(&nftables.Rule{Table: table, Chain: postrouting, Exprs: append(
		interfaceIs(expr.MetaKeyOIFNAME, wanPort), &expr.Masq{FullyRandom: true})})
	for name, hook := range map[string]*nftables.ChainHook{
		"input": nftables.ChainHookInput, "forward": nftables.ChainHookForward,
	} {
		chain := c.AddChain(&nftables.Chain{Name: name, Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: hook, Priority: nftables.ChainPriorityFilter})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(
			interfaceIs(expr.MetaKeyIIFNAME, wanPort), unasked()...)})
	}
	return s.errorf(c.Flush(), "masquerading by nftables (modules nf_tables, nft_masq, nft_ct)")
}

// interfaceIs matches packets by the name of an interface.
func interfaceIs(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded},
	}
}

// unasked matches packets that open a connection or belong to none, and drops
// them. Neighbour discovery is tracked as neither.
func unasked() []expr.Any {
	mask := expr.CtStateBitNEW | expr.CtStateBitINVALID
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(mask), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// forget drops all mappings of a NAT router. What goes on from inside gets a
// new port; what comes from outside to the old one is unasked for.
func (s *space) forget() error {
	h, err := netlink.NewHandleAt(s.ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return s.errorf(err, "netlink to conntrack")
	}
	defer h.Close()
	return s.errorf(h.ConntrackTableFlush(netlink.ConntrackTable), "forgetting NAT mappings")
}
