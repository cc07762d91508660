package hostnet

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// A packet passes the chains of all tables, so no rule of ours can let through
// what a firewall of the host drops. What can be told in advance is.

// foreignChain is a base chain of another table.
type foreignChain struct {
	*nftables.Chain
	family string
}

func (c foreignChain) String() string {
	return fmt.Sprintf("%s of table %s %s", c.Name, c.family, c.Table.Name)
}

// foreignChains lists the base chains of a hook in tables other than own.
func foreignChains(conn *nftables.Conn, own string, hook *nftables.ChainHook) ([]foreignChain, error) {
	chains, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("hostnet: list nftables chains: %w", err)
	}
	families := map[nftables.TableFamily]string{
		nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
	}
	var found []foreignChain
	for _, chain := range chains {
		family, ok := families[chain.Table.Family]
		if ok && chain.Table.Name != own && chain.Hooknum != nil && *chain.Hooknum == *hook {
			found = append(found, foreignChain{chain, family})
		}
	}
	return found, nil
}

// foreignDrops names the forward chains of others that drop what they do not
// accept.
func foreignDrops(own string) ([]string, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("hostnet: nftables: %w", err)
	}
	chains, err := foreignChains(conn, own, nftables.ChainHookForward)
	if err != nil {
		return nil, err
	}
	var drops []string
	for _, chain := range chains {
		if chain.Policy != nil && *chain.Policy == nftables.ChainPolicyDrop {
			drops = append(drops, chain.String())
		}
	}
	return drops, nil
}

// strictFilters names the prerouting chains of others that drop packets which
// come in by another interface than the best way back to their source, as
// firewalld does with IPv6_rpfilter=yes: of several links they let one work.
func strictFilters(own string) ([]string, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("hostnet: nftables: %w", err)
	}
	chains, err := foreignChains(conn, own, nftables.ChainHookPrerouting)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, chain := range chains {
		rules, err := conn.GetRules(chain.Table, chain.Chain)
		if err != nil {
			return nil, fmt.Errorf("hostnet: list rules of chain %v: %w", chain, err)
		}
		if slices.ContainsFunc(rules, func(r *nftables.Rule) bool { return isStrictFilter(r.Exprs) }) {
			found = append(found, chain.String())
		}
	}
	return found, nil
}

// isStrictFilter recognises "fib saddr . iif oif missing drop", with or without
// a mark: a mark does not help, since the best route is the same for all links.
func isStrictFilter(exprs []expr.Any) bool {
	looks, drops := false, false
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Fib:
			looks = looks || e.FlagSADDR && e.FlagIIF && e.ResultOIF
		case *expr.Verdict:
			drops = drops || e.Kind == expr.VerdictDrop
		}
	}
	return looks && drops
}
