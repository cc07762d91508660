package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// settings describes all that a program could leave behind on a machine, one
// line each, sorted: interfaces, addresses, routes of every table, rules,
// nftables, sysctls, and the resolver's file.
func (m *machine) settings() []string {
	GinkgoHelper()
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	links, err := dump(m.nl.LinkList)
	Expect(err).NotTo(HaveOccurred())
	for _, l := range links {
		a := l.Attrs()
		add("interface %d %s mtu %d flags %v master %d", a.Index, a.Name, a.MTU, a.Flags, a.MasterIndex)
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		m.describeFamily(family, add)
	}
	m.do(func() error { return describeNftables(add) })
	m.do(func() error { return describeSysctls(add) })
	resolv, _ := os.ReadFile(m.path("etc/resolv.conf"))
	add("resolv.conf %q", resolv)
	slices.Sort(lines)
	return lines
}

func (m *machine) describeFamily(family int, add func(string, ...any)) {
	GinkgoHelper()
	addresses, err := dump(func() ([]netlink.Addr, error) { return m.nl.AddrList(nil, family) })
	Expect(err).NotTo(HaveOccurred())
	for _, a := range addresses {
		add("address %v on %d scope %d", a.IPNet, a.LinkIndex, a.Scope)
	}
	routes, err := dump(func() ([]netlink.Route, error) {
		return m.nl.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE) // of every table
	})
	Expect(err).NotTo(HaveOccurred())
	for _, r := range routes {
		add("route %d table %d %v via %v on %d source %v type %d metric %d scope %d", family, r.Table, r.Dst, r.Gw, r.LinkIndex, r.Src, r.Type, r.Priority, r.Scope)
	}
	rules, err := dump(func() ([]netlink.Rule, error) { return m.nl.RuleList(family) })
	Expect(err).NotTo(HaveOccurred())
	for _, r := range rules {
		add("rule %d %v invert %v mark %d suppress %d", family, r, r.Invert, r.Mark, r.SuppressPrefixlen)
	}
}

// describeNftables runs inside the machine.
func describeNftables(add func(string, ...any)) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	tables, err := conn.ListTables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		add("nftables table %d %s", t.Family, t.Name)
	}
	chains, err := conn.ListChains()
	if err != nil {
		return err
	}
	for _, c := range chains {
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			return err
		}
		for n, r := range rules {
			text := ""
			for _, e := range r.Exprs {
				text += fmt.Sprintf(" %T%+v", e, e)
			}
			add("nftables rule %d of %s %s:%s", n, c.Table.Name, c.Name, text)
		}
	}
	return nil
}

// describeSysctls runs inside the machine.
func describeSysctls(add func(string, ...any)) error {
	for _, root := range []string{"core", "ipv4", "ipv6"} {
		err := filepath.WalkDir("/proc/sys/net/"+root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			// Some can only be written, or only be read once they are set.
			if value, err := os.ReadFile(path); err == nil {
				add("sysctl %s=%s", strings.TrimPrefix(path, "/proc/sys/"), strings.TrimSpace(string(value)))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// expectSettings expects the settings of before, and says what is different.
func (m *machine) expectSettings(before []string) {
	GinkgoHelper()
	missing, more := differences(before, m.settings())
	Expect(missing).To(BeEmpty(), "not put back on %s", m.name)
	Expect(more).To(BeEmpty(), "left on %s", m.name)
}

// differences returns the lines that only one of two lists has.
func differences(before, after []string) (missing, more []string) {
	without := func(list, other []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(line string) bool {
			_, found := slices.BinarySearch(other, line)
			return found
		})
	}
	return without(before, after), without(after, before)
}

// of returns the lines that begin with one of the given words.
func of(lines []string, words ...string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(line, word+" ") })
	})
}
