package virtual

import (
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"golang.org/x/time/rate"

	"github.com/multilink-vpn/multilink/core"
)

// machine is an inner host: a TCP/IP stack with its interfaces.
type machine struct {
	sim   *Simulation
	stack *stack.Stack
	nics  []*nic
	// tap sees every packet that comes in.
	tap []func(packet []byte)
}

// nic is an interface of a machine. What the stack sends is collected and
// handed to send, several packets at a time.
type nic struct {
	id      tcpip.NICID
	channel *channel.Endpoint
	send    func(batch []core.Packet)
}

// firstNIC is the first interface of a machine.
const firstNIC tcpip.NICID = 1

// outgoing is how many packets an interface holds between two looks at it:
// more than any TCP window here has.
const outgoing = 1 << 16

// Buffers of the TCP stacks: what Linux 6.18 allows at most
// (net.ipv4.tcp_rmem, tcp_wmem). They do not grow towards it but begin there.
const (
	receiveBuffer = 32 << 20
	sendBuffer    = 4 << 20
)

func (s *Simulation) newMachine(name string) (*machine, error) {
	seed := s.seedOf("host", name)
	m := &machine{sim: s}
	m.stack = stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{
			tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
		Clock:      s.clock.newLane(),
		RandSource: &source{stream: newStream(seed)},
		SecureRNG:  &source{stream: newStream(^seed)},
	})
	m.stack.SetICMPLimit(rate.Inf)
	sack := tcpip.TCPSACKEnabled(true)
	moderate := tcpip.TCPModerateReceiveBufferOption(false)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4096, Default: receiveBuffer, Max: receiveBuffer}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4096, Default: sendBuffer, Max: sendBuffer}
	// Losses are found and repaired as RFC 6675 says. By gVisor's RACK holes are filled
	// one a round trip and timeouts follow one another; after two of them its CUBIC
	// may shrink the window to zero, and nothing is sent any more.
	recovery := tcpip.TCPRecovery(0)
	for _, option := range []tcpip.SettableTransportProtocolOption{&recovery, &sack, &moderate, &receive, &send} {
		if err := m.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return nil, fmt.Errorf("%s: TCP option %T: %s", name, option, err)
		}
	}
	return m, nil
}

// addNIC gives a machine an interface with its addresses.
func (m *machine) addNIC(mtu int, send func([]core.Packet), addresses ...netip.Addr) error {
	n := &nic{id: tcpip.NICID(len(m.nics)) + firstNIC, send: send}
	n.channel = channel.New(outgoing, uint32(mtu), "")
	if err := m.stack.CreateNIC(n.id, n.channel); err != nil {
		return fmt.Errorf("interface %d: %s", n.id, err)
	}
	for _, a := range addresses {
		pa := tcpip.ProtocolAddress{
			Protocol:          protocolOf(a),
			AddressWithPrefix: addressOf(a).WithPrefix(),
		}
		if err := m.stack.AddProtocolAddress(n.id, pa, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("interface %d: address %s: %s", n.id, a, err)
		}
	}
	m.nics = append(m.nics, n)
	return nil
}

// inject hands a packet that came in over an interface to the stack, which
// takes a copy.
func (m *machine) inject(id tcpip.NICID, packet []byte) {
	for _, see := range m.tap {
		see(packet)
	}
	protocol := tcpip.NetworkProtocolNumber(ipv4.ProtocolNumber)
	if header.IPVersion(packet) == header.IPv6Version {
		protocol = ipv6.ProtocolNumber
	}
	pb := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	m.nics[id-firstNIC].channel.InjectInbound(protocol, pb)
	pb.DecRef()
	m.sim.yield()
}

// flush sends what the stack has put out.
func (m *machine) flush() {
	for _, n := range m.nics {
		if n.channel.NumQueued() == 0 {
			continue
		}
		var batch []core.Packet
		var views []*buffer.View
		for pb := n.channel.Read(); pb != nil; pb = n.channel.Read() {
			v := pb.ToView()
			pb.DecRef()
			views = append(views, v)
			batch = append(batch, core.Packet{Data: v.AsSlice()})
		}
		n.send(batch)
		for _, v := range views {
			v.Release()
		}
	}
}

// close ends the stack's goroutines.
func (m *machine) close() { m.stack.Destroy() }

func addressOf(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}
