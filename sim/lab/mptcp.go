package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// The in-kernel path manager of MPTCP, by generic netlink: linux/mptcp_pm.h.
const (
	mptcpFamily  = "mptcp_pm"
	mptcpVersion = 1

	mptcpAddAddress = 1
	mptcpSetLimits  = 5

	mptcpAttrAddress      = 1
	mptcpAttrAcceptedAddr = 2
	mptcpAttrSubflows     = 3

	mptcpAddrFamily = 1
	mptcpAddrIPv4   = 3
	mptcpAddrIPv6   = 4
	mptcpAddrFlags  = 6
	mptcpAddrIndex  = 7

	mptcpFlagSubflow = 1 << 1

	// mptcpMaxSubflows is the kernel's bound (MPTCP_SUBFLOWS_MAX).
	mptcpMaxSubflows = 8
)

// usesMPTCP says whether any traffic goes by MPTCP.
func (r *run) usesMPTCP() bool {
	for _, t := range r.sc.Traffic {
		if t.Via.Kind == "mptcp" {
			return true
		}
	}
	return false
}

// mptcp lets connections of the client have a subflow over each of its links.
func (r *run) mptcp() error {
	if !r.usesMPTCP() {
		return nil
	}
	machines := append([]*space{r.topology.client}, r.topology.hosts...)
	for _, m := range machines {
		if err := m.mptcpLimits(); err != nil {
			return fmt.Errorf("%w: %w (this kernel has no MPTCP?)", ErrMachine, err)
		}
	}
	for _, l := range r.topology.links {
		if err := r.mptcpEndpoint(l); err != nil {
			return err
		}
	}
	return nil
}

// mptcpEndpoint announces the present addresses of a link that is plugged in
// as the source of subflows. Nobody else does it: there is no daemon.
func (r *run) mptcpEndpoint(l *linkState) error {
	if !r.usesMPTCP() || !l.plugged {
		return nil
	}
	client := r.topology.client
	link, err := client.nl.LinkByName(l.Name)
	if err != nil {
		return client.errorf(err, "interface %s", l.Name)
	}
	for _, family := range r.topology.families {
		address := lan(l.index, l.generation, family).near.Addr()
		if err := client.mptcpAdd(address, link.Attrs().Index); err != nil {
			return err
		}
	}
	return nil
}

// mptcpLimits raises the number of subflows that the machine allows.
func (s *space) mptcpLimits() error {
	err := s.mptcpCommand(mptcpSetLimits,
		nl.NewRtAttr(mptcpAttrAcceptedAddr, nl.Uint32Attr(0)),
		nl.NewRtAttr(mptcpAttrSubflows, nl.Uint32Attr(mptcpMaxSubflows)))
	return s.errorf(err, "MPTCP limits")
}

func (s *space) mptcpAdd(address netip.Addr, index int) error {
	endpoint := nl.NewRtAttr(mptcpAttrAddress|unix.NLA_F_NESTED, nil)
	if address.Is4() {
		endpoint.AddRtAttr(mptcpAddrFamily, nl.Uint16Attr(unix.AF_INET))
		endpoint.AddRtAttr(mptcpAddrIPv4, address.AsSlice())
	} else {
		endpoint.AddRtAttr(mptcpAddrFamily, nl.Uint16Attr(unix.AF_INET6))
		endpoint.AddRtAttr(mptcpAddrIPv6, address.AsSlice())
	}
	endpoint.AddRtAttr(mptcpAddrFlags, nl.Uint32Attr(mptcpFlagSubflow))
	endpoint.AddRtAttr(mptcpAddrIndex, nl.Uint32Attr(uint32(index)))
	return s.errorf(s.mptcpCommand(mptcpAddAddress, endpoint), "MPTCP endpoint %s", address)
}

// mptcpCommand sends one command to the machine's path manager.
func (s *space) mptcpCommand(command uint8, attributes ...nl.NetlinkRequestData) error {
	family, err := s.nl.GenlFamilyGet(mptcpFamily)
	if err != nil {
		return err
	}
	return nsdo.In(s.ns, func() error {
		request := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
		request.AddData(&nl.Genlmsg{Command: command, Version: mptcpVersion})
		for _, a := range attributes {
			request.AddData(a)
		}
		_, err := request.Execute(unix.NETLINK_GENERIC, 0)
		return err
	})
}
