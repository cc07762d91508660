package lab

import (
	"errors"
	"fmt"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/nsdo"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// newLink makes the router of a link and connects it to the internet; the
// client's side is made by plug.
func (t *topology) newLink(sc *scenario.Scenario, i int) (*linkState, error) {
	l := &linkState{Link: sc.Links[i], index: i}
	var err error
	if l.spec, err = linkSpec(sc, i); err != nil {
		return nil, err
	}
	if l.router, err = t.machine(t.router(i)); err != nil {
		return nil, err
	}
	uplink := fmt.Sprintf("link%d", i)
	err = errors.Join(
		l.router.cable(wanPort, nil, t.internet, uplink, nil),
		l.router.cable(lanPort, routerMAC(i), t.middle, serverSide(i), nil))
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		l.router.forward(),
		l.router.up(wanPort), t.internet.up(uplink),
		t.quiet(l.router, lanPort),
		l.router.up(lanPort), t.middle.up(serverSide(i)))
	for _, family := range t.families {
		n := wan(i, family)
		err = errors.Join(err,
			l.router.address(wanPort, n.near), t.internet.address(uplink, n.far),
			l.router.route(defaultRoutes[family], n.far.Addr(), wanPort, 0))
	}
	if l.NAT {
		err = errors.Join(err, l.router.masquerade())
	}
	return l, errors.Join(err, t.addressRouter(l))
}

// quiet makes an endpoint of an impaired stretch send what a network card
// would: whole checksums, and no packet larger than the MTU. Families that the
// underlay does not have are silenced.
func (t *topology) quiet(s *space, port string) error {
	err := nsdo.In(s.ns, func() error { return emu.DisableTxChecksum(port) })
	if len(t.families) == 1 && t.families[0] == 4 {
		err = errors.Join(err, s.linkSysctl(6, port, "disable_ipv6", "1"))
	}
	return s.errorf(err, "preparing %s", port)
}

// addressRouter gives the router's inside the addresses of the link's
// generation, and the internet the way there if no NAT hides it.
func (t *topology) addressRouter(l *linkState) error {
	var err error
	for _, family := range t.families {
		n := lan(l.index, l.generation, family)
		err = errors.Join(err,
			l.router.address(lanPort, n.far),
			l.router.neighbour(lanPort, n.near.Addr(), clientMAC(l.index)))
		if !l.NAT {
			uplink := fmt.Sprintf("link%d", l.index)
			err = errors.Join(err, t.internet.route(n.near.Masked(), wan(l.index, family).near.Addr(), uplink, 0))
		}
	}
	return err
}

// addressClient gives the client's interface the addresses and default routes
// of the link's generation.
func (t *topology) addressClient(l *linkState) error {
	var err error
	for _, family := range t.families {
		n := lan(l.index, l.generation, family)
		err = errors.Join(err,
			t.client.address(l.Name, n.near),
			t.client.neighbour(l.Name, n.far.Addr(), routerMAC(l.index)),
			t.client.route(defaultRoutes[family], n.far.Addr(), l.Name, linkMetric(l.index)))
	}
	return err
}

// plug makes the client's interface of a link and starts the emulation.
func (t *topology) plug(l *linkState) error {
	if l.plugged {
		return fmt.Errorf("link %s is plugged in already", l.Name)
	}
	port := clientSide(l.index)
	if err := t.client.cable(l.Name, clientMAC(l.index), t.middle, port, nil); err != nil {
		return err
	}
	l.plugged = true
	err := errors.Join(t.quiet(t.client, l.Name), t.middle.up(port))
	if err != nil {
		return err
	}
	if err := t.impairer.Attach(l.spec); err != nil {
		return fmt.Errorf("link %s: %w", l.Name, err)
	}
	return errors.Join(t.client.up(l.Name), t.addressClient(l))
}

// unplug deletes the client's interface of a link.
func (t *topology) unplug(l *linkState) error {
	if !l.plugged {
		return fmt.Errorf("link %s is not plugged in", l.Name)
	}
	l.plugged = false
	if err := t.impairer.Detach(l.Name); err != nil {
		return fmt.Errorf("link %s: %w", l.Name, err)
	}
	return t.client.removeLink(l.Name)
}

// carrier takes the carrier from the client's interface or gives it back: the
// cable's other end goes down or up.
func (t *topology) carrier(l *linkState, on bool) error {
	if on {
		return t.middle.up(clientSide(l.index))
	}
	return t.middle.down(clientSide(l.index))
}

// readdress moves a link to another subnet: a new address and a new gateway.
func (t *topology) readdress(l *linkState) error {
	if l.generation+1 == maxGenerations {
		return fmt.Errorf("link %s: more than %d networks", l.Name, maxGenerations)
	}
	var err error
	for _, family := range t.families {
		n := lan(l.index, l.generation, family)
		err = errors.Join(err, l.router.removeAddress(lanPort, n.far))
		if l.plugged {
			err = errors.Join(err, t.client.removeAddress(l.Name, n.near))
		}
	}
	l.generation++
	err = errors.Join(err, t.addressRouter(l))
	if l.plugged {
		err = errors.Join(err, t.addressClient(l))
	}
	return err
}

// rebind makes the link's NAT forget its mappings.
func (t *topology) rebind(l *linkState) error {
	if !l.NAT {
		return fmt.Errorf("link %s has no NAT (nat: false) whose mappings could be forgotten", l.Name)
	}
	return l.router.forget()
}
