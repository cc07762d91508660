package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// check is one thing the testbed looks for on a machine.
type check struct {
	name string
	// try returns what was found, or why it is missing.
	try func(*examination) (string, error)
	// remedy says how to get it, where it is not only forbidden.
	remedy string
	// optional things are only for some scenarios.
	optional bool
}

// examination is where the checks try things out: two namespaces that are
// connected, if it got so far.
type examination struct {
	manifest *manifest
	a, b     *space
}

// asRoot is the remedy where something is there that this user must not use.
const asRoot = "run it with sudo; in a container: docker run --privileged"

var checks = []check{
	{name: "kernel", try: func(*examination) (string, error) { return kernelVersion(), nil }},
	{name: "processors", try: checkProcessors, optional: true,
		remedy: "with one processor the emulator and the programs under test wait for each other: runs will be inconclusive"},
	{name: "root", try: checkRoot, remedy: asRoot},
	{name: "network namespaces", try: checkNamespaces,
		remedy: "a kernel with CONFIG_NET_NS; in a container: docker run --privileged"},
	{name: "veth", try: checkVeth, remedy: "modprobe veth (package linux-modules-extra-$(uname -r) on Ubuntu's cloud images)"},
	{name: "packet sockets", try: checkPacketSockets, remedy: "modprobe af_packet"},
	{name: "checksum offload can be turned off", try: checkOffload, remedy: "a kernel whose veth has ethtool's offload settings"},
	{name: "NAT by nftables", try: checkNAT, remedy: "modprobe nf_tables nft_masq nft_ct nf_conntrack_netlink"},
	{name: "TUN", try: checkTUN, remedy: "modprobe tun; in a container: docker run --device /dev/net/tun"},
	{name: "IPv6", try: checkIPv6, remedy: "boot without ipv6.disable=1", optional: true},
	{name: "netem", try: checkNetem, optional: true,
		remedy: "not needed: the emulator in user space impairs the links (else: modprobe sch_netem)"},
	{name: "MPTCP", try: checkMPTCP, optional: true,
		remedy: "a kernel with CONFIG_MPTCP and net.mptcp.enabled = 1, for traffic with via: mptcp"},
	{name: "congestion controls", try: checkCongestion, optional: true, remedy: "modprobe tcp_bbr, for traffic with cc: bbr"},
}

// Doctor writes what this machine and user can do, and how to get what is
// missing. The error wraps ErrMachine if no scenario can run.
func Doctor(w io.Writer) error { return diagnose(w, checks) }

func diagnose(w io.Writer, checks []check) error {
	e := &examination{}
	defer e.close()
	missing := 0
	for _, c := range checks {
		found, err := c.try(e)
		switch {
		case err == nil:
			fmt.Fprintf(w, "ok       %s: %s\n", c.name, found)
			continue
		case errors.Is(err, errUntried):
			fmt.Fprintf(w, "untried  %s: %v\n", c.name, err)
			continue
		case c.optional:
			fmt.Fprintf(w, "without  %s: %v\n", c.name, err)
		default:
			missing++
			fmt.Fprintf(w, "MISSING  %s: %v\n", c.name, err)
		}
		remedy := c.remedy
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			remedy = asRoot
		}
		fmt.Fprintf(w, "         -> %s\n", remedy)
	}
	if missing > 0 {
		return fmt.Errorf("%w: %d of %d things missing", ErrMachine, missing, len(checks))
	}
	return nil
}

func (e *examination) close() {
	for _, s := range []*space{e.a, e.b} {
		if s != nil {
			s.close()
		}
	}
	if e.manifest != nil {
		_ = e.manifest.clear()
	}
}

// errUntried is for checks that need one before them.
var errUntried = errors.New("something above is missing")

func checkProcessors(*examination) (string, error) {
	n := runtime.NumCPU()
	if n < 2 {
		return "", errors.New("only one")
	}
	return fmt.Sprint(n), nil
}

func checkRoot(*examination) (string, error) {
	if uid := os.Geteuid(); uid != 0 {
		return "", fmt.Errorf("user id %d", uid)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return "", err
	}
	var lacking []string
	for name, bit := range map[string]int{
		"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
	} {
		if data[0].Effective&(1<<bit) == 0 {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) > 0 {
		return "", fmt.Errorf("user id 0 without %s", strings.Join(lacking, ", "))
	}
	return "yes, with the capabilities", nil
}

func checkNamespaces(e *examination) (string, error) {
	if os.Geteuid() != 0 {
		return "", errUntried // nobody else can
	}
	n := newNames()
	var err error
	if e.manifest, err = newManifest(n, "doctor", 0); err != nil {
		return "", err
	}
	if e.a, err = newSpace(n.client()); err != nil {
		return "", err
	}
	if e.b, err = newSpace(n.server()); err != nil {
		return "", err
	}
	return "can be made, named and configured", nil
}

func checkVeth(e *examination) (string, error) {
	if e.b == nil {
		return "", errUntried
	}
	if err := e.a.cable("eth0", nil, e.b, "eth0", nil); err != nil {
		return "", err
	}
	return "connects namespaces", errors.Join(e.a.up("eth0"), e.b.up("eth0"))
}

func checkPacketSockets(e *examination) (string, error) {
	if e.b == nil {
		return "", errUntried
	}
	return "can be opened", nsdo.In(e.a.ns, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	})
}

func checkOffload(e *examination) (string, error) {
	if e.b == nil {
		return "", errUntried
	}
	if _, err := e.a.nl.LinkByName("eth0"); err != nil {
		return "", errUntried
	}
	return "packets leave as a network card would send them", nsdo.In(e.a.ns, func() error { return emu.DisableTxChecksum("eth0") })
}

func checkNAT(e *examination) (string, error) {
	if e.b == nil {
		return "", errUntried
	}
	return "masquerades, and forgets when told", errors.Join(e.a.masquerade(), e.a.forget())
}

func checkTUN(e *examination) (string, error) {
	if e.b == nil {
		return "", errUntried
	}
	return tunDevice, openTUN()
}

func checkIPv6(e *examination) (string, error) {
	if e.b == nil {
		return "", errUntried
	}
	lo, err := e.a.nl.LinkByName("lo")
	if err != nil {
		return "", err
	}
	addresses, err := e.a.nl.AddrList(lo, netlink.FAMILY_V6)
	if err == nil && len(addresses) == 0 {
		err = errors.New("the loopback has no ::1")
	}
	return "there", err
}

func checkNetem(e *examination) (string, error) {
	if e.b == nil {
		return "", errUntried
	}
	if ok, why := emu.Supported(); !ok {
		return "", errors.New(why)
	}
	return "--impair auto uses it", nil
}

func checkMPTCP(e *examination) (string, error) {
	if e.b == nil {
		return "", errUntried
	}
	err := nsdo.In(e.a.ns, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	})
	return "in the kernel, with its path manager", errors.Join(err, e.a.mptcpLimits())
}

func checkCongestion(*examination) (string, error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
	if err != nil {
		return "", err
	}
	have := strings.Fields(string(text))
	for _, want := range []string{"cubic", "reno", "bbr"} {
		found := false
		for _, name := range have {
			found = found || name == want
		}
		if !found {
			err = errors.Join(err, fmt.Errorf("no %s (there are: %s)", want, strings.Join(have, ", ")))
		}
	}
	return strings.Join(have, ", "), err
}
