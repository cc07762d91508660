package e2e

import (
	"bufio"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// wireguardPort is where the far end listens.
const wireguardPort = 51820

// wireguard runs wireguard-go on both machines: here reaches there's address,
// and the ends of the tunnel are 10.79.0.2 and 10.79.0.1. It goes with the spec.
func wireguard(here, there *machine, address string) {
	GinkgoHelper()
	from := os.Getenv("MULTILINK_BIN")
	if from == "" {
		from = "../bin"
	}
	binary, err := filepath.Abs(filepath.Join(from, "wireguard-go"))
	Expect(err).NotTo(HaveOccurred())
	if _, err := os.Stat(binary); err != nil {
		Skip(fmt.Sprintf("%v: 'make e2e' builds it", err))
	}
	mine, theirs := wireguardKey(), wireguardKey()
	wireguardEnd(there, binary, "10.79.0.1/24", fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nallowed_ip=10.79.0.2/32\n",
		hex.EncodeToString(theirs.Bytes()), wireguardPort, hex.EncodeToString(mine.PublicKey().Bytes())))
	wireguardEnd(here, binary, "10.79.0.2/24", fmt.Sprintf("private_key=%s\npublic_key=%s\nallowed_ip=10.79.0.1/32\nendpoint=%s:%d\n",
		hex.EncodeToString(mine.Bytes()), hex.EncodeToString(theirs.PublicKey().Bytes()), address, wireguardPort))
}

func wireguardKey() *ecdh.PrivateKey {
	GinkgoHelper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	return key
}

// wireguardEnd starts one end and gives it its address and configuration, by the
// socket that https://www.wireguard.com/xplatform/ describes.
func wireguardEnd(m *machine, binary, prefix, config string) {
	GinkgoHelper()
	device := "wge" + randomHex(4) // the whole host sees the name, as that of the socket
	suite.devices[device] = true
	cmd := exec.Command(binary, "--foreground", device)
	cmd.Env = append(os.Environ(), "LOG_LEVEL=error")
	m.start(cmd)
	DeferCleanup(func() {
		_ = tellToEnd(cmd, unix.SIGINT) // it removes its socket
	})
	var answer string
	Eventually(func() error {
		conn, err := net.Dial("unix", "/var/run/wireguard/"+device+".sock")
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(dialTimeout))
		if _, err := fmt.Fprintf(conn, "set=1\n%s\n", config); err != nil {
			return err
		}
		answer, err = bufio.NewReader(conn).ReadString('\n')
		return err
	}).Should(Succeed())
	Expect(strings.TrimSpace(answer)).To(Equal("errno=0"))
	m.address(device, netip.MustParsePrefix(prefix).String())
	m.up(device)
}
