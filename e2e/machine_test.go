package e2e

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// machine is a computer of a spec's network: a network namespace, and an /etc
// of its own for the programs on it.
type machine struct {
	name   string
	folder string
	ns     netns.NsHandle
	nl     *netlink.Handle
	mounts []nsdo.Mount
}

// newMachine makes a machine that goes with the spec. name is unique in it.
func newMachine(folder, name string) *machine {
	GinkgoHelper()
	m := &machine{name: name, folder: filepath.Join(folder, name)}
	space := suite.prefix + randomHex(2) + "-" + name
	ns, err := nsdo.Create(space)
	Expect(err).NotTo(HaveOccurred())
	m.ns = ns
	DeferCleanup(func() { Expect(nsdo.Delete(space)).To(Succeed()) })
	DeferCleanup(func() { Expect(m.ns.Close()).To(Succeed()) })
	m.nl, err = netlink.NewHandleAt(ns)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(m.nl.Close)
	m.makeFiles()
	// Without duplicate detection and link-local addresses, nothing comes
	// some time after the fact.
	for _, key := range []string{"accept_dad=0", "dad_transmits=0", "accept_ra=0", "addr_gen_mode=1"} {
		m.sysctl("ipv6/conf/default/" + key)
	}
	m.up("lo")
	return m
}

// makeFiles makes what the programs see as /etc, and hides the services of the
// machine that runs the suite from them.
func (m *machine) makeFiles() {
	GinkgoHelper()
	etc, empty := m.path("etc"), m.path("empty")
	for _, dir := range []string{etc, empty} {
		Expect(os.MkdirAll(dir, 0o755)).To(Succeed())
	}
	Expect(os.WriteFile(filepath.Join(etc, "hosts"), []byte("127.0.0.1 localhost\n::1 localhost\n"), 0o644)).To(Succeed())
	m.mounts = []nsdo.Mount{{Source: etc, Target: "/etc"}}
	for _, dir := range []string{"/run/dbus", "/run/systemd"} {
		if _, err := os.Stat(dir); err == nil {
			m.mounts = append(m.mounts, nsdo.Mount{Source: empty, Target: dir})
		}
	}
}

// path is where a file of the machine is.
func (m *machine) path(name string) string { return filepath.Join(m.folder, name) }

// nameserver sets the machine's resolver.
func (m *machine) nameserver(address string) {
	GinkgoHelper()
	Expect(os.WriteFile(m.path("etc/resolv.conf"), []byte("nameserver "+address+"\n"), 0o644)).To(Succeed())
}

// do runs f on a thread inside the machine.
func (m *machine) do(f func() error) {
	GinkgoHelper()
	Expect(nsdo.In(m.ns, f)).To(Succeed(), "on %s", m.name)
}

// sysctl takes "path below /proc/sys/net=value".
func (m *machine) sysctl(setting string) {
	GinkgoHelper()
	key, value, _ := strings.Cut(setting, "=")
	m.do(func() error { return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0) })
}

// forward makes the machine a router.
func (m *machine) forward() {
	GinkgoHelper()
	m.sysctl("ipv4/ip_forward=1")
	m.sysctl("ipv6/conf/all/forwarding=1")
}

// link returns an interface.
func (m *machine) link(name string) netlink.Link {
	GinkgoHelper()
	l, err := m.nl.LinkByName(name)
	Expect(err).NotTo(HaveOccurred(), "interface %s of %s", name, m.name)
	return l
}

func (m *machine) up(name string) {
	GinkgoHelper()
	Expect(m.nl.LinkSetUp(m.link(name))).To(Succeed(), "%s of %s", name, m.name)
}

func (m *machine) down(name string) {
	GinkgoHelper()
	Expect(m.nl.LinkSetDown(m.link(name))).To(Succeed(), "%s of %s", name, m.name)
}

// add makes an interface on this machine.
func (m *machine) add(l netlink.Link) {
	GinkgoHelper()
	suite.devices[l.Attrs().Name] = true
	Expect(m.nl.LinkAdd(l)).To(Succeed(), "%s of %s", l.Attrs().Name, m.name)
}

// cable connects interface name with peer's interface peerName, and waits
// until both are up.
func (m *machine) cable(name string, peer *machine, peerName string) {
	GinkgoHelper()
	suite.devices[peerName] = true
	m.add(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, TxQLen: -1},
		PeerName:  peerName, PeerNamespace: netlink.NsFd(int(peer.ns)),
	})
	peer.up(peerName)
	m.up(name)
	m.waitUp(name)
	peer.waitUp(peerName)
}

// waitUp waits until the kernel has noticed that an interface works, and has
// made the route that it makes for each with IPv6: before, packets are lost,
// and what is there changes by itself.
func (m *machine) waitUp(name string) {
	GinkgoHelper()
	multicast := netip.MustParsePrefix("ff00::/8")
	Eventually(func(g Gomega) {
		l := m.link(name)
		g.Expect(l.Attrs().OperState).To(Equal(netlink.LinkOperState(netlink.OperUp)))
		routes, err := dump(func() ([]netlink.Route, error) {
			return m.nl.RouteListFiltered(unix.AF_INET6, &netlink.Route{
				LinkIndex: l.Attrs().Index, Dst: ipNet(multicast), Table: unix.RT_TABLE_LOCAL,
			}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
		})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(routes).NotTo(BeEmpty())
	}).WithPolling(5*time.Millisecond).Should(Succeed(), "%s of %s", name, m.name)
}

// address adds addresses, each with the length of its network.
func (m *machine) address(name string, prefixes ...string) {
	GinkgoHelper()
	for _, text := range prefixes {
		Expect(m.nl.AddrAdd(m.link(name), address(text))).To(Succeed(), "%s on %s of %s", text, name, m.name)
	}
}

func (m *machine) removeAddress(name, text string) {
	GinkgoHelper()
	Expect(m.nl.AddrDel(m.link(name), address(text))).To(Succeed(), "%s on %s of %s", text, name, m.name)
}

func address(text string) *netlink.Addr {
	p := netip.MustParsePrefix(text)
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

// route sets a route by a gateway.
func (m *machine) route(destination, gateway, device string, table, metric int) {
	GinkgoHelper()
	Expect(m.nl.RouteReplace(&netlink.Route{
		LinkIndex: m.link(device).Attrs().Index, Table: table, Priority: metric,
		Dst: ipNet(netip.MustParsePrefix(destination)), Gw: net.ParseIP(gateway),
	})).To(Succeed(), "route to %s by %s on %s", destination, gateway, m.name)
}

// defaultRoutes sets default routes by the given gateways.
func (m *machine) defaultRoutes(device string, metric int, gateways ...string) {
	GinkgoHelper()
	for _, gateway := range gateways {
		destination := "0.0.0.0/0"
		if strings.Contains(gateway, ":") {
			destination = "::/0"
		}
		m.route(destination, gateway, device, unix.RT_TABLE_MAIN, metric)
	}
}

// swallow makes the machine drop what it should forward to a destination,
// without a word.
func (m *machine) swallow(destination string) {
	GinkgoHelper()
	Expect(m.nl.RouteAdd(&netlink.Route{
		Type: unix.RTN_BLACKHOLE, Dst: ipNet(netip.MustParsePrefix(destination)),
	})).To(Succeed())
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// dump repeats a netlink dump that was interrupted by a change, ten times at most:
// a table that changes in each of them never rests.
func dump[T any](list func() ([]T, error)) (found []T, err error) {
	for range 10 {
		found, err = list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return found, err
}

// start starts a program on the machine.
func (m *machine) start(cmd *exec.Cmd, more ...nsdo.Mount) {
	GinkgoHelper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &unix.SysProcAttr{}
	}
	// A group of its own: ctrl-C at the terminal is for the suite alone.
	cmd.SysProcAttr.Setpgid = true
	Expect(nsdo.Start(m.ns, cmd, append(m.mounts, more...))).To(Succeed())
}

// run runs a program that ends by itself and returns its exit status and all
// it printed.
func (m *machine) run(cmd *exec.Cmd, more ...nsdo.Mount) (status int, output string) {
	GinkgoHelper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	m.start(cmd, more...)
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		failed = cmd.Wait()
	}()
	defer func() { _ = cmd.Process.Kill() }() // once it has ended: nothing
	Eventually(done).Should(BeClosed(), "%s does not end", cmd)
	if _, exited := errors.AsType[*exec.ExitError](failed); !exited {
		Expect(failed).NotTo(HaveOccurred())
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// tellToEnd sends a program a signal and waits for its end, which it makes when it
// does not come. It returns how the program ended.
func tellToEnd(cmd *exec.Cmd, signal unix.Signal) error {
	_ = cmd.Process.Signal(signal) // once it has ended: nothing
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	return cmd.Wait()
}

// multilink runs the product's program.
func (m *machine) multilink(args ...string) (status int, output string) {
	GinkgoHelper()
	return m.run(exec.Command(filepath.Join(suite.bin, "multilink"), args...))
}
