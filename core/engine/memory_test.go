package engine

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/netmon"
	"github.com/multilink-vpn/multilink/core/underlay"
)

const (
	// crowd is how many clients the test of memory connects.
	crowd = 200
	// few are there before, so that what all share is not counted.
	few = 2
	// idleClient is what a client with one link may cost the server when it is
	// quiet, idleLink each link more.
	idleClient, idleLink = 64 << 10, 32 << 10
	// crowdVariable marks the process that runs the clients, so that their
	// memory is not the server's.
	crowdVariable = "MULTILINK_TEST_CROWD"
)

// TestMemoryOfIdleClients connects clients of another process over real sockets,
// has packets cross both ways and measures what each client more costs the
// server once they are quiet: heap and stacks, with goroutines, TLS, sessions
// and tables.
func TestMemoryOfIdleClients(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("connects many clients and waits until they are idle")
	}
	for links := 1; links <= 2; links++ {
		t.Run(fmt.Sprintf("links=%d", links), func(t *testing.T) {
			memoryOfIdleClients(t, links, int64(idleClient+(links-1)*idleLink))
		})
	}
}

func memoryOfIdleClients(t *testing.T, links int, limit int64) {
	w := newWorld(t)
	w.openUDP = openReal
	keys := make([]control.PrivateKey, few+crowd)
	for i := range keys {
		keys[i] = newKey(t)
	}
	server := w.server(func(c *config.Server) {
		c.MaxClients, c.Pool4 = few+crowd, netip.MustParsePrefix("10.8.0.0/16")
	}, keys...)
	defer startCrowd(t, w, links, keys[:few]).end()
	greetAll(t, server)
	before := inUse()
	defer startCrowd(t, w, links, keys[few:]).end()
	greetAll(t, server)
	perClient := int64(0)
	eventually(t, fmt.Sprintf("an idle client takes at most %d bytes of the server", limit), func() bool {
		perClient = (inUse() - before) / crowd
		return perClient <= limit
	})
	t.Logf("%d bytes per client", perClient)
}

// greetAll waits for a packet of each client and sends it one.
func greetAll(t *testing.T, server *testServer) {
	t.Helper()
	clients := server.Status().Clients
	eventually(t, "packets of all clients", func() bool {
		return server.Status().Counters["rx_packets"] >= uint64(len(clients))
	})
	for _, c := range clients {
		to, err := netip.ParsePrefix(c.Addresses[0])
		if err != nil {
			t.Fatal(err)
		}
		server.tun.Inject(udpPacket(outside, to.Addr(), "down"))
	}
}

// inUse is what the process has on the heap and on stacks.
func inUse() int64 {
	for range 4 { // pools let go of what they hold at the second, stacks shrink by half at each
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// openReal opens a socket of the kernel's that is bound to no interface.
func openReal(o underlay.Options) (underlay.Conn, error) {
	o.Device, o.Mark = "", 0
	return underlay.Open(o)
}

// crowdProcess runs clients.
type crowdProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
}

// startCrowd starts a process with a client for each key and waits until all
// are up and have sent a packet.
func startCrowd(t *testing.T, w *world, links int, keys []control.PrivateKey) *crowdProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestCrowdOfClients$", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %d", crowdVariable, w.port, w.serverKey.Public(), links))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &crowdProcess{t, cmd, stdin}
	for _, k := range keys {
		fmt.Fprintln(stdin, k.Text())
	}
	fmt.Fprintln(stdin)
	var said []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if lines.Text() == crowdReady {
			go io.Copy(io.Discard, stdout)
			return p
		}
		said = append(said, lines.Text())
	}
	t.Fatalf("the clients did not come up:\n%s", strings.Join(said, "\n"))
	return nil
}

const crowdReady = "all clients are up"

// end lets the process go and waits for it.
func (p *crowdProcess) end() {
	p.t.Helper()
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the clients: %v", err)
	}
}

// TestCrowdOfClients is the process that startCrowd starts: one client for each
// key that comes in, until the input ends.
func TestCrowdOfClients(t *testing.T) {
	order := os.Getenv(crowdVariable)
	if order == "" {
		t.Skip("runs the clients of other tests")
	}
	w := newWorld(t)
	w.openUDP = openReal
	var server string
	var links int
	if _, err := fmt.Sscan(order, &w.port, &server, &links); err != nil {
		t.Fatal(err)
	}
	public, err := control.ParsePublicKey(server)
	if err != nil {
		t.Fatal(err)
	}
	w.serverPublic = public
	interfaces := []netmon.Interface{iface("wan0", 1), iface("wan1", 2)}[:links]
	var clients []*testClient
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() && input.Text() != "" {
		key, err := control.ParsePrivateKey(input.Text())
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, w.client(key, nil, interfaces...))
	}
	for _, c := range clients {
		c.waitLinks([]string{"wan0", "wan1"}[:links]...)
		c.tun.Inject(udpPacket(c.address(), outside, "up"))
	}
	fmt.Println(crowdReady)
	for input.Scan() { // until the end
	}
}
