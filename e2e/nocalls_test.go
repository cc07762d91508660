package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/quic-go/quic-go"

	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/traffic"
)

// otherFor is how long traffic that is no call goes on.
const otherFor = 3 * time.Second

var _ = Describe("What is no call", func() {
	var b *bench
	BeforeEach(func() {
		b = newBench(1, 2)
		b.start()
	})

	// never runs something and looks at all flows meanwhile.
	never := func(run func() error) []flow {
		GinkgoHelper()
		done := make(chan error, 1)
		go func() { done <- run() }()
		for {
			flows := b.clients[0].flows()
			for _, f := range append(flows, b.server.flows()...) {
				Expect(f.isCall()).To(BeFalse(), "%+v", f)
			}
			select {
			case err := <-done:
				Expect(err).NotTo(HaveOccurred())
				return flows
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	caller := func() *machine { return b.clients[0].on }
	callee := func() *machine { return b.network.server }

	It("is not taken for one: DNS on high ports", func() {
		flows := never(func() error {
			out, err := traffic.Run(context.Background(), traffic.Job{
				Traffic: scenario.Traffic{Name: "names", Kind: "dns", IP: 4, Interval: 20 * time.Millisecond, Duration: otherFor},
				Client:  traffic.End{NS: caller().ns}, Seed: 1, Origin: time.Now(), Until: patience,
				Host: traffic.End{NS: callee().ns, Addr: netip.MustParseAddr(tunnelGateway)},
			})
			if err == nil && out.Values["failed"] != 0 {
				err = errors.Join(errors.New("queries failed"), errors.New(out.Notes[0]))
			}
			return err
		})
		Expect(flows).NotTo(BeEmpty())
	})

	It("is not taken for one: QUIC", func() {
		server, client := callee().udp(tunnelGateway), caller().udp("0.0.0.0")
		flows := never(func() error { return overQUIC(client, server, otherFor) })
		Expect(flows).To(ContainElement(HaveField("Remote", server.LocalAddr().String())))
	})

	// A stream of one size at a steady pace is what looks most like a call.
	It("is not taken for one: WireGuard, with a call inside", func() {
		wireguard(caller(), callee(), tunnelGateway)
		flows := never(func() error {
			out, err := traffic.Run(context.Background(), traffic.Job{
				Traffic: scenario.Traffic{Name: "call", Kind: "rtp", Codec: "pcmu", Direction: "both", IP: 4, Duration: otherFor},
				Client:  traffic.End{NS: caller().ns}, Seed: 1, Origin: time.Now(), Until: patience,
				Host: traffic.End{NS: callee().ns, Addr: netip.MustParseAddr("10.79.0.1")},
			})
			if err == nil && out.Values["up"].(map[string]any)["mos"].(float64) == 1 {
				err = errors.New("nothing was heard")
			}
			return err
		})
		Expect(flows).To(ContainElement(HaveField("Remote", fmt.Sprintf("%s:%d", tunnelGateway, wireguardPort))))
	})

	It("is not taken for one: a game with 0x80 first and a counter", func() {
		server, client := callee().udp(tunnelGateway), caller().udp("0.0.0.0")
		flows := never(func() error { return play(client, server, otherFor) })
		Expect(flows).To(ContainElement(HaveField("Remote", server.LocalAddr().String())))
	})
})

// udp opens a UDP socket on a free port of the machine's address. It goes with
// the spec.
func (m *machine) udp(address string) *net.UDPConn {
	GinkgoHelper()
	var conn *net.UDPConn
	m.do(func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 0)))
		return err
	})
	DeferCleanup(func() { _ = conn.Close() }) // quic-go may have closed it
	return conn
}

// play exchanges datagrams as a game does, 60 a second each way: a first byte
// that RTP has too, a counter where RTP has its sequence, a state that changes.
func play(client, server *net.UDPConn, duration time.Duration) error {
	to := server.LocalAddr().(*net.UDPAddr)
	var echoing sync.WaitGroup
	echoing.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return // the end: a deadline
			}
			_, _ = server.WriteToUDPAddrPort(buf[:n], from)
		}
	})
	tick := time.NewTicker(time.Second / 60)
	defer tick.Stop()
	begin := time.Now()
	state := make([]byte, 92)
	for counter := uint16(1); time.Since(begin) < duration; counter++ {
		<-tick.C
		_, _ = rand.Read(state) // never fails: crypto/rand
		packet := append(binary.BigEndian.AppendUint16([]byte{0x80, 0}, counter), state[:40+counter%50]...)
		if _, err := client.WriteToUDP(packet, to); err != nil {
			return err
		}
	}
	_ = server.SetReadDeadline(time.Now())
	echoing.Wait()
	return nil
}

// overQUIC sends a stream to a server that sends it back.
func overQUIC(client, server *net.UDPConn, duration time.Duration) error {
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	protocols := []string{"echo"}
	listener, err := quic.Listen(server, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: protocols}, nil)
	if err != nil {
		return err
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var echoing sync.WaitGroup
	defer echoing.Wait()
	echoing.Go(func() {
		conn, err := listener.Accept(ctx)
		if err != nil {
			return // the client's side says why
		}
		if stream, err := conn.AcceptStream(ctx); err == nil {
			_, _ = io.Copy(stream, stream)
			_ = stream.Close()
		}
		<-conn.Context().Done()
	})
	conn, err := quic.Dial(ctx, client, server.LocalAddr(), &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}, nil)
	if err != nil {
		cancel()
		return err
	}
	defer func() { _ = conn.CloseWithError(0, "") }()
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	echoing.Go(func() { _, _ = io.Copy(io.Discard, stream) })
	part := make([]byte, 20000)
	for begin := time.Now(); time.Since(begin) < duration; time.Sleep(20 * time.Millisecond) {
		if _, err := stream.Write(part); err != nil {
			return err
		}
	}
	return stream.Close()
}

// selfSigned makes a certificate.
func selfSigned() (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}
