package bench

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/multilink-vpn/multilink/sim/program"
)

// wireguardPort is where the far end listens.
const wireguardPort = 51820

// uapiFolder is where wireguard-go makes the sockets by which it is
// configured (https://www.wireguard.com/xplatform/).
const uapiFolder = "/var/run/wireguard"

// startWireguard starts wireguard-go on both machines.
func startWireguard(ctx context.Context, w *world, binary, folder string) (*tunnel, error) {
	t := &tunnel{
		name:   referenceName,
		world:  w,
		client: netip.MustParseAddr("10.79.0.2"), server: netip.MustParseAddr("10.79.0.1"),
	}
	clientKey, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	serverKey, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	peer := func(own, other *ecdh.PrivateKey, allowed netip.Addr, rest string) string {
		return fmt.Sprintf("set=1\nprivate_key=%s\n%spublic_key=%s\nallowed_ip=%s/32\n%s\n",
			hex.EncodeToString(own.Bytes()), listenLine(rest), hex.EncodeToString(other.PublicKey().Bytes()), allowed, rest)
	}
	ends := []struct {
		ns      netns.NsHandle
		name    string
		address netip.Addr
		config  string
	}{
		{w.server, "server", t.server, peer(serverKey, clientKey, t.client, "")},
		{w.client, "client", t.client, peer(clientKey, serverKey, t.server, fmt.Sprintf("endpoint=%s:%d\n", serverHost, wireguardPort))},
	}
	for _, end := range ends {
		// The name is seen by the whole host, as that of the socket.
		device := fmt.Sprintf("wgb%d%c", os.Getpid()%1e6, end.name[0])
		p, err := startProgram(end.ns, folder, "wireguard-"+end.name, exec.Command(binary, "--foreground", device))
		if err == nil {
			t.programs = append(t.programs, p)
			err = setWireguard(ctx, end.ns, p, device, end.address, end.config)
		}
		if err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

// listenLine is the configuration of the end that has no endpoint to go to.
func listenLine(rest string) string {
	if rest != "" {
		return ""
	}
	return fmt.Sprintf("listen_port=%d\n", wireguardPort)
}

// setWireguard configures a running wireguard-go and its interface.
func setWireguard(ctx context.Context, ns netns.NsHandle, p *program.Program, device string, address netip.Addr, config string) error {
	if err := uapi(ctx, p, filepath.Join(uapiFolder, device+".sock"), config); err != nil {
		return fmt.Errorf("configuring wireguard-go: %w\n%s", err, p.Tail())
	}
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	return configure(h, device, netip.PrefixFrom(address, 24))
}

// uapi carries out one operation on a wireguard-go that may still be starting.
func uapi(ctx context.Context, p *program.Program, socket, operation string) error {
	var c net.Conn
	var err error
	for limit := time.Now().Add(upPatience); ; {
		if c, err = net.Dial("unix", socket); err == nil {
			break
		}
		if !p.Running() {
			return errors.New("it has ended")
		}
		if time.Now().After(limit) || pause(ctx, 20*time.Millisecond) != nil {
			return err
		}
	}
	defer c.Close()
	if _, err := c.Write([]byte(operation)); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if line = strings.TrimSpace(line); err == nil && line != "errno=0" {
		err = fmt.Errorf("it answered %q", line)
	}
	return err
}
