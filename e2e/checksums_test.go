package e2e

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("Checksums behind the server's NAT", func() {
	const (
		size    = 4 << 20 // bytes each way over TCP
		segment = 500     // of a run of datagrams
	)

	DescribeTable("are right in every packet",
		func(mode string) {
			b := newBench(1, 1)
			client := b.clients[0]
			for _, p := range []*program{client, b.server} {
				p.set(keys{"tun": keys{"mode": mode}})
			}
			b.start()
			c := b.router.capture("server", host4, host6)
			for family, host := range []string{host4, host6} {
				transfer(client.on, b.router, host, size)
				_ = b.router.inbox(host, inboxPort)
				client.on.datagrams(host, inboxPort, 1)
				client.on.segmented(host, segment)
				// What comes with its checksum from a LAN, say.
				ours := client.addresses()[family]
				client.on.inject("multilink0", datagramPacket(ours, host, inboxPort))
				client.on.inject("multilink0", synPacket(ours, host))
				client.on.inject("multilink0", withoutChecksum(datagramPacket(ours, host, inboxPort)))
			}
			want := []string{"tcp4 complete", "tcp6 complete", "udp4 complete", "udp6 complete", "udp4 zero", "udp6 zero"}
			for _, found := range []struct {
				offload string
				kinds   []string
			}{
				{"csum", []string{"tcp4 partial", "tcp6 partial", "udp4 partial", "udp6 partial"}},
				{"tso4", []string{"tcp4 partial super"}},
				{"tso6", []string{"tcp6 partial super"}},
				{"uso4", []string{"udp4 partial super"}},
				{"uso6", []string{"udp6 partial super"}},
			} {
				if slices.Contains(b.server.status().TUN.Offloads, found.offload) {
					want = append(want, found.kinds...)
				}
			}
			Eventually(c.seen).Should(ContainElements(want))
			wrong, missed := c.verdict()
			Expect(wrong).To(BeEmpty())
			Expect(missed).To(BeZero(), "packets that nobody looked at")
		},
		Entry("of the fast device", "fast"),
		Entry("of the portable device", "portable"),
	)
})

// segmented sends eight datagrams of that size with one call, which a device that
// can gets as one super-packet (UDP_SEGMENT of udp(7)).
func (m *machine) segmented(to string, segment int) {
	GinkgoHelper()
	m.do(func() error {
		d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
			var failed error
			err := raw.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, segment)
			})
			return errors.Join(err, failed)
		}}
		conn, err := d.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(to), inboxPort).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write(make([]byte, 8*segment))
		return err
	})
}

// synPacket is an IP packet that asks for a TCP connection.
func synPacket(from, to string) []byte {
	GinkgoHelper()
	ip := networkLayer(from, to, layers.IPProtocolTCP)
	tcp := &layers.TCP{SrcPort: 5353, DstPort: inboxPort, Seq: 1, SYN: true, Window: 65535}
	Expect(tcp.SetNetworkLayerForChecksum(ip)).To(Succeed())
	buf := gopacket.NewSerializeBuffer()
	Expect(gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		ip.(gopacket.SerializableLayer), tcp)).To(Succeed())
	return buf.Bytes()
}

// withoutChecksum takes the checksum out of a packet of datagramPacket
// (RFC 768, RFC 6935).
func withoutChecksum(packet []byte) []byte {
	header := 20
	if packet[0]>>4 == 6 {
		header = 40
	}
	packet[header+6], packet[header+7] = 0, 0
	return packet
}
