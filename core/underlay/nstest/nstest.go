// Package nstest gives tests network namespaces of their own, so that
// privileged tests of devices and sockets leave the host's network alone. A
// namespace has no name and goes away with the test.
package nstest

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace of one test.
type Namespace struct {
	handle netns.NsHandle
	links  *netlink.Handle
}

// New makes a namespace whose loopback interface is up. It skips the test
// when it is not run by root.
func New(t testing.TB) *Namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: this test makes a network namespace")
	}
	n := &Namespace{}
	onThread(t, func() (err error) {
		n.handle, err = netns.New()
		return err
	})
	t.Cleanup(func() { _ = n.handle.Close() })
	var err error
	if n.links, err = netlink.NewHandleAt(n.handle); err != nil {
		t.Fatalf("netlink in the namespace: %v", err)
	}
	t.Cleanup(n.links.Close)
	n.Up(t, "lo")
	return n
}

// Do runs f on a thread in the namespace. Sockets and devices that f opens
// belong to the namespace wherever they are used later; a goroutine that f
// starts does not.
func (n *Namespace) Do(t testing.TB, f func() error) {
	t.Helper()
	onThread(t, func() error {
		if err := netns.Set(n.handle); err != nil {
			return err
		}
		return f()
	})
}

// onThread runs f on a thread that ends with it: the thread stays locked, so
// that no other goroutine ever runs in the wrong namespace.
func onThread(t testing.TB, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Up sets an interface up and gives it addresses, which can be used when it
// returns.
func (n *Namespace) Up(t testing.TB, name string, addrs ...string) {
	t.Helper()
	link, err := n.links.LinkByName(name)
	if err != nil {
		t.Fatalf("interface %s: %v", name, err)
	}
	for _, a := range addrs {
		prefix := netip.MustParsePrefix(a)
		addr := &netlink.Addr{
			IPNet: &net.IPNet{
				IP:   prefix.Addr().AsSlice(),
				Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
			},
			Flags: unix.IFA_F_NODAD,
		}
		if err := n.links.AddrAdd(link, addr); err != nil {
			t.Fatalf("address %s on %s: %v", a, name, err)
		}
	}
	if err := n.links.LinkSetUp(link); err != nil {
		t.Fatalf("set %s up: %v", name, err)
	}
	for _, a := range addrs {
		n.awaitLocal(t, netip.MustParsePrefix(a).Addr())
	}
}

// awaitLocal waits until packets to an address are delivered: the kernel
// finishes an IPv6 address in the background, even without looking for
// duplicates.
func (n *Namespace) awaitLocal(t testing.TB, addr netip.Addr) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		routes, err := n.links.RouteGet(addr.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("address %s is not local after 30 s: %v, %v", addr, routes, err)
		}
	}
}

// Down sets an interface down.
func (n *Namespace) Down(t testing.TB, name string) {
	t.Helper()
	link, err := n.links.LinkByName(name)
	if err == nil {
		err = n.links.LinkSetDown(link)
	}
	if err != nil {
		t.Fatalf("set %s down: %v", name, err)
	}
}

// Delete removes an interface.
func (n *Namespace) Delete(t testing.TB, name string) {
	t.Helper()
	link, err := n.links.LinkByName(name)
	if err == nil {
		err = n.links.LinkDel(link)
	}
	if err != nil {
		t.Fatalf("delete %s: %v", name, err)
	}
}

// MTU sets the MTU of an interface.
func (n *Namespace) MTU(t testing.TB, name string, mtu int) {
	t.Helper()
	link, err := n.links.LinkByName(name)
	if err == nil {
		err = n.links.LinkSetMTU(link, mtu)
	}
	if err != nil {
		t.Fatalf("MTU of %s: %v", name, err)
	}
}

// Link returns an interface's attributes.
func (n *Namespace) Link(t testing.TB, name string) netlink.LinkAttrs {
	t.Helper()
	link, err := n.links.LinkByName(name)
	if err != nil {
		t.Fatalf("interface %s: %v", name, err)
	}
	return *link.Attrs()
}

// Veth joins two namespaces by a pair of interfaces, which are still down.
func Veth(t testing.TB, a *Namespace, nameA string, b *Namespace, nameB string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nameA
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(b.handle)}
	if err := a.links.LinkAdd(pair); err != nil {
		t.Fatalf("veth %s - %s: %v", nameA, nameB, err)
	}
}
