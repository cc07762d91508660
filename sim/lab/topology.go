package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// topology is the network of a run, up and impaired.
type topology struct {
	names
	families []int
	client   *space
	middle   *space
	internet *space
	server   *space
	hosts    []*space // host 1 first
	links    []*linkState
	impairer emu.Impairer
	made     []*space
}

// linkState is a link of a topology as it is now.
type linkState struct {
	scenario.Link
	index      int
	router     *space
	spec       emu.Spec
	generation int
	plugged    bool
}

// newTopology makes the namespaces of a scenario, connects them, and starts
// the emulator. What could not be finished is removed again.
func newTopology(n names, sc *scenario.Scenario, impair func(middle *space) (emu.Impairer, error)) (*topology, error) {
	t := &topology{names: n, families: families(sc.Underlay)}
	err := t.build(sc, impair)
	if err != nil {
		return nil, errors.Join(err, t.remove())
	}
	return t, nil
}

func (t *topology) build(sc *scenario.Scenario, impair func(*space) (emu.Impairer, error)) error {
	if err := t.machines(len(sc.Links)); err != nil {
		return err
	}
	if err := t.uplinks(); err != nil {
		return err
	}
	var err error
	if t.impairer, err = impair(t.middle); err != nil {
		return fmt.Errorf("the emulator: %w", err)
	}
	if err := t.bottlenecks(sc); err != nil {
		return err
	}
	for i := range sc.Links {
		l, err := t.newLink(sc, i)
		if err != nil {
			return err
		}
		t.links = append(t.links, l)
		if l.Present {
			if err := t.plug(l); err != nil {
				return err
			}
		}
	}
	return t.waitUp()
}

// waitUp waits until every cable works.
func (t *topology) waitUp() error {
	err := t.server.waitUp("eth0")
	for _, host := range t.hosts {
		err = errors.Join(err, host.waitUp("eth0"))
	}
	for _, l := range t.links {
		err = errors.Join(err, l.router.waitUp(wanPort), l.router.waitUp(lanPort))
		if l.plugged {
			err = errors.Join(err, t.client.waitUp(l.Name))
		}
	}
	ports, listErr := t.internet.nl.LinkList()
	err = errors.Join(err, listErr)
	for _, port := range ports {
		if port.Type() == "veth" {
			err = errors.Join(err, t.internet.waitUp(port.Attrs().Name))
		}
	}
	return err
}

// machines makes the namespaces that do not belong to a link.
func (t *topology) machines(links int) error {
	for _, m := range []struct {
		space **space
		name  string
	}{
		{&t.client, t.names.client()}, {&t.middle, t.names.middle()},
		{&t.internet, t.names.internet()}, {&t.server, t.names.server()},
	} {
		s, err := t.machine(m.name)
		if err != nil {
			return err
		}
		*m.space = s
	}
	for host := 1; host <= hosts; host++ {
		s, err := t.machine(t.host(host))
		if err != nil {
			return err
		}
		t.hosts = append(t.hosts, s)
	}
	return errors.Join(
		t.internet.forward(),
		// The middle only passes frames on: it must not speak up itself.
		t.middle.sysctl("ipv6.conf.all.disable_ipv6", "1"),
		t.middle.sysctl("ipv6.conf.default.disable_ipv6", "1"),
		// As distributions set it: reverse paths are checked, loosely.
		t.client.sysctl("ipv4.conf.all.rp_filter", "2"),
		t.client.sysctl("ipv4.conf.default.rp_filter", "2"),
	)
}

// machine makes one namespace, to be removed with the topology.
func (t *topology) machine(name string) (*space, error) {
	s, err := newSpace(name)
	if err == nil {
		t.made = append(t.made, s)
	}
	return s, err
}

// uplinks connects the server and the hosts to the internet. Both families
// are there whatever the underlay is: they carry what leaves the tunnel.
func (t *topology) uplinks() error {
	err := t.connect(t.server, "server", []endpoint{{server4, uplink4}, {server6, uplink6}})
	for i, host := range t.hosts {
		four, six := hostAddress(i+1, 4), hostAddress(i+1, 6)
		err = errors.Join(err, t.connect(host, fmt.Sprintf("host%d", i+1), []endpoint{
			{netip.PrefixFrom(four, 32), netip.PrefixFrom(hostGateway4, 32)},
			{netip.PrefixFrom(six, 128), netip.PrefixFrom(hostGateway6, 128)},
		}))
	}
	return err
}

// endpoint is an address and that of the router it leads to.
type endpoint struct{ here, router netip.Prefix }

// connect gives a machine its one interface, eth0, with a default route to the
// internet's router, where the cable is called port.
func (t *topology) connect(m *space, port string, ends []endpoint) error {
	err := errors.Join(
		m.cable("eth0", nil, t.internet, port, nil),
		m.up("eth0"), t.internet.up(port))
	if err != nil {
		return err
	}
	for _, e := range ends {
		if err := errors.Join(m.address("eth0", e.here), t.internet.address(port, e.router)); err != nil {
			return err
		}
		if e.here.IsSingleIP() { // without a subnet both ends must be shown the way
			err := errors.Join(
				m.route(e.router, netip.Addr{}, "eth0", 0),
				t.internet.route(e.here, netip.Addr{}, port, 0))
			if err != nil {
				return err
			}
		}
		destination := defaultRoutes[familyOf(e.here.Addr())]
		if err := m.route(destination, e.router.Addr(), "eth0", 0); err != nil {
			return err
		}
	}
	return nil
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// bottlenecks makes the routers that links share.
func (t *topology) bottlenecks(sc *scenario.Scenario) error {
	for _, b := range sc.Bottlenecks {
		up, err := b.Up.LinkConfig()
		if err != nil {
			return fmt.Errorf("bottleneck %s: %w", b.Name, err)
		}
		down, err := b.Down.LinkConfig()
		if err != nil {
			return fmt.Errorf("bottleneck %s: %w", b.Name, err)
		}
		if err := t.impairer.Bottleneck(b.Name, up, down); err != nil {
			return fmt.Errorf("bottleneck %s: %w", b.Name, err)
		}
	}
	return nil
}

// link finds a link by its name.
func (t *topology) link(name string) (*linkState, error) {
	for _, l := range t.links {
		if l.Name == name {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no link is named %q", name)
}

// remove ends the emulator and removes every namespace.
func (t *topology) remove() error {
	var errs []error
	if t.impairer != nil {
		errs = append(errs, t.impairer.Close())
	}
	for _, s := range t.made {
		errs = append(errs, s.remove())
	}
	t.made = nil
	return errors.Join(errs...)
}
