package main

import (
	"context"
	"crypto/ed25519"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
	"golang.org/x/crypto/curve25519"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"
)

// dnsQueries asks over one socket, of every second flow on port 53.
func dnsQueries(i int) error {
	at := fmt.Sprintf("127.0.0.%d:53", 2+i)
	if i%2 == 1 {
		at = fmt.Sprintf("127.0.0.1:%d", port(i, 0))
	}
	server := &dns.Server{Addr: at, Net: "udp", Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		rr, _ := dns.NewRR(q.Question[0].Name + " 60 IN A 192.0.2.1")
		m.Answer = append(m.Answer, rr)
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ListenAndServe() }()
	defer server.Shutdown()
	time.Sleep(100 * time.Millisecond)
	c, err := dns.Dial("udp", at)
	if err != nil {
		return err
	}
	defer c.Close()
	for n := range 60 {
		q := new(dns.Msg).SetQuestion(fmt.Sprintf("host%d.example.org.", n), dns.TypeA)
		if err := c.WriteMsg(q); err != nil {
			return err
		}
		if _, err := c.ReadMsg(); err != nil {
			return err
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
	}
	return nil
}

func quicTransfer(i int) error {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	certificate, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	serverTLS := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}, NextProtos: []string{"x"}}
	l, err := quic.ListenAddr(fmt.Sprintf("127.0.0.1:%d", port(i, 0)), serverTLS, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	go func() {
		c, err := l.Accept(ctx)
		if err != nil {
			return
		}
		for {
			s, err := c.AcceptStream(ctx)
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(s, s); s.Close() }()
		}
	}()
	c, err := quic.DialAddr(ctx, l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"x"}}, nil)
	if err != nil {
		return err
	}
	defer c.CloseWithError(0, "")
	for end := time.Now().Add(length); time.Now().Before(end); {
		s, err := c.OpenStreamSync(ctx)
		if err != nil {
			return err
		}
		go func() { _, _ = io.Copy(io.Discard, s) }()
		_, _ = s.Write(make([]byte, 200+rand.IntN(4000)))
		s.Close()
		time.Sleep(time.Duration(10+rand.IntN(40)) * time.Millisecond)
	}
	return nil
}

// utpTransfer is BitTorrent by libtorrent.
func utpTransfer(i int) error {
	return command(40*time.Second, "/usr/bin/python3", "utp.py", itoa(port(i, 0)), itoa(port(i, 1)))
}

func wireguard(i int) error {
	secret := func() (private, public string) {
		k := make([]byte, 32)
		_, _ = crand.Read(k)
		p, _ := curve25519.X25519(k, curve25519.Basepoint)
		return hex.EncodeToString(k), hex.EncodeToString(p)
	}
	keyA, publicA := secret()
	keyB, publicB := secret()
	end := func(address, config string) (*netstack.Net, *device.Device, error) {
		t, n, err := netstack.CreateNetTUN([]netip.Addr{netip.MustParseAddr(address)}, nil, 1420)
		if err != nil {
			return nil, nil, err
		}
		d := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
		return n, d, errors.Join(d.IpcSet(config), d.Up())
	}
	netA, a, err := end("10.0.0.1", fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nallowed_ip=10.0.0.2/32\n", keyA, port(i, 0), publicB))
	if err != nil {
		return err
	}
	defer a.Close()
	netB, b, err := end("10.0.0.2", fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=127.0.0.1:%d\nallowed_ip=10.0.0.1/32\n", keyB, port(i, 1), publicA, port(i, 0)))
	if err != nil {
		return err
	}
	defer b.Close()
	l, err := netA.ListenUDPAddrPort(netip.MustParseAddrPort("10.0.0.1:9"))
	if err != nil {
		return err
	}
	go func() {
		p := make([]byte, 2000)
		for {
			n, from, err := l.ReadFrom(p)
			if err != nil {
				return
			}
			_, _ = l.WriteTo(p[:n], from)
		}
	}()
	c, err := netB.DialUDPAddrPort(netip.AddrPort{}, netip.MustParseAddrPort("10.0.0.1:9"))
	if err != nil {
		return err
	}
	for stop := time.Now().Add(length); time.Now().Before(stop); time.Sleep(20 * time.Millisecond) {
		_, _ = c.Write(make([]byte, 50+rand.IntN(1200)))
	}
	return nil
}

// openvpn joins two ends by a shared secret: each datagram begins with a random
// HMAC. Packets for a network behind the other end go through it both ways.
func openvpn(i int) error {
	key := fmt.Sprintf("%s/openvpn%d.key", os.TempDir(), i)
	if err := command(5*time.Second, "openvpn", "--genkey", "secret", key); err != nil {
		return err
	}
	defer os.Remove(key)
	start := func(local, remote, n int) (*exec.Cmd, error) {
		cmd := exec.Command("openvpn", "--dev", fmt.Sprintf("tun%d", 2*i+n), "--dev-type", "tun", "--proto", "udp4", "--local", "127.0.0.1",
			"--lport", itoa(port(i, local)), "--remote", "127.0.0.1", itoa(port(i, remote)), "--secret", key, "--cipher", "AES-256-CBC",
			"--ifconfig", fmt.Sprintf("10.%d.%d.1", 50+n, i), fmt.Sprintf("10.%d.%d.2", 50+n, i), "--ping", "1")
		return cmd, cmd.Start()
	}
	a, err := start(0, 1, 0)
	if err != nil {
		return err
	}
	defer func() { _ = a.Process.Kill(); _ = a.Wait() }()
	b, err := start(1, 0, 1)
	if err != nil {
		return err
	}
	defer func() { _ = b.Process.Kill(); _ = b.Wait() }()
	time.Sleep(1500 * time.Millisecond)
	there := flood(fmt.Sprintf("10.50.%d.2:9", i))
	back := flood(fmt.Sprintf("10.51.%d.2:9", i))
	return errors.Join(<-there, <-back)
}

// srt streams three seconds of 1 Mbit/s to a listener.
func srt(i int) error {
	listener := exec.Command("srt-live-transmit", fmt.Sprintf("srt://127.0.0.1:%d?mode=listener", port(i, 0)), "file://con")
	listener.Stdout = io.Discard
	if err := listener.Start(); err != nil {
		return err
	}
	defer func() { _ = listener.Process.Kill(); _ = listener.Wait() }()
	time.Sleep(300 * time.Millisecond)
	caller := exec.Command("srt-live-transmit", "file://con", fmt.Sprintf("srt://127.0.0.1:%d?mode=caller&tlpktdrop=0", port(i, 0)))
	in, err := caller.StdinPipe()
	if err != nil {
		return err
	}
	if err := caller.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := in.Write(make([]byte, 1316)); err != nil {
			return err
		}
	}
	_ = caller.Process.Kill()
	_ = caller.Wait()
	return nil
}

var moshKey = regexp.MustCompile(`MOSH CONNECT (\d+) (\S+)`)

// mosh runs a shell that prints a lot.
func mosh(i int) error {
	server := exec.Command("mosh-server", "new", "-i", "127.0.0.1", "-p", itoa(port(i, 0)), "--", "sh", "-c", "for i in $(seq 60); do date; sleep .05; done")
	server.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm")
	text, err := server.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	m := moshKey.FindSubmatch(text)
	if m == nil {
		return fmt.Errorf("no key: %s", text)
	}
	client := exec.Command("script", "-qfc", fmt.Sprintf("stty rows 24 cols 80; mosh-client 127.0.0.1 %s", m[1]), "/dev/null")
	client.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm", "MOSH_KEY="+string(m[2]))
	in, err := client.StdinPipe()
	if err != nil {
		return err
	}
	client.Stdout = io.Discard
	if err := client.Start(); err != nil {
		return err
	}
	for range 30 {
		time.Sleep(100 * time.Millisecond)
		_, _ = in.Write([]byte("x"))
	}
	_ = client.Process.Kill()
	_ = client.Wait()
	return nil
}

func iperf(i int) error {
	server := exec.Command("iperf3", "-s", "-1", "-p", itoa(port(i, 0)))
	if err := server.Start(); err != nil {
		return err
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	time.Sleep(200 * time.Millisecond)
	args := strings.Fields(fmt.Sprintf("-u -c 127.0.0.1 -p %d -t 2 -b %dk -l %d", port(i, 0), 100*(1+i), 100+20*i))
	if i%2 == 1 {
		args = append(args, "-R")
	}
	return command(10*time.Second, "iperf3", args...)
}
