package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"
)

// keys is a configuration, or part of one.
type keys = map[string]any

// program is a client or server on a machine, with its files. Its process may
// end and start again.
type program struct {
	role   string // "client" or "server"
	on     *machine
	name   string // unique on the machine
	config keys
	public string // key

	process *os.Process
	done    chan struct{} // closed when the process has ended
	state   *os.ProcessState
}

// newProgram makes the keys and the folder of a program. It starts nothing.
func newProgram(on *machine, role, name string) *program {
	GinkgoHelper()
	p := &program{role: role, on: on, name: name}
	Expect(os.MkdirAll(p.path(""), 0o755)).To(Succeed())
	DeferCleanup(func() { // shown when the spec fails
		fmt.Fprintf(GinkgoWriter, "--- %s on %s printed:\n%s", p.name, p.on.name, p.log())
	})
	status, out := on.multilink("keygen", "--out", p.path("private.key"))
	Expect(status).To(BeZero(), out)
	var made struct {
		Public string `toml:"public_key"`
	}
	Expect(toml.Unmarshal([]byte(out), &made)).To(Succeed())
	p.public = made.Public
	p.config = keys{
		"private_key_file": p.path("private.key"),
		"status_socket":    p.socket(),
		"state_dir":        p.path("state"),
	}
	return p
}

// newServer makes a server for the given clients.
func newServer(on *machine, name string, clients ...*program) *program {
	GinkgoHelper()
	p := newProgram(on, "server", name)
	p.set(keys{"listen": fmt.Sprintf(":%d", serverPort)})
	p.serves(clients...)
	return p
}

// newClient makes a client; knows tells it its server.
func newClient(on *machine, name string) *program {
	GinkgoHelper()
	p := newProgram(on, "client", name)
	p.set(keys{"dns": keys{"mode": "off"}})
	return p
}

// serves sets the clients of a server.
func (p *program) serves(clients ...*program) {
	list := []keys{}
	for _, c := range clients {
		list = append(list, keys{"name": c.on.name, "public_key": c.public})
	}
	p.set(keys{"clients": list})
}

// knows sets the server of a client.
func (p *program) knows(server *program) {
	p.set(keys{"server": fmt.Sprintf("%s:%d", serverAddress, serverPort), "server_key": server.public})
}

// set changes the configuration; a table replaces the one before. It holds from
// the next start on.
func (p *program) set(changes keys) { maps.Copy(p.config, changes) }

func (p *program) path(name string) string {
	return filepath.Join(p.on.folder, p.name, name)
}

// socket is the status socket, beside the journal, where cleanup looks for both.
func (p *program) socket() string { return p.path("state/status.sock") }

// write writes the configuration file.
func (p *program) write() {
	GinkgoHelper()
	text, err := toml.Marshal(p.config)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(p.path("config.toml"), text, 0o600)).To(Succeed())
}

// reload makes it read its configuration again.
func (p *program) reload() {
	GinkgoHelper()
	p.write()
	Expect(p.process.Signal(unix.SIGHUP)).To(Succeed())
}

// start starts the process. It goes with the spec.
func (p *program) start() {
	GinkgoHelper()
	p.write()
	p.launch(exec.Command(filepath.Join(suite.bin, "multilink"), p.role, "--config", p.path("config.toml")))
}

func (p *program) launch(cmd *exec.Cmd) {
	GinkgoHelper()
	Expect(p.running()).To(BeFalse(), "the %s runs already", p.name)
	log, err := os.OpenFile(p.path("output.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	Expect(err).NotTo(HaveOccurred())
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	p.on.start(cmd)
	done := make(chan struct{})
	p.process, p.done = cmd.Process, done
	go func() {
		defer close(done)
		_ = cmd.Wait()
		p.state = cmd.ProcessState
	}()
	DeferCleanup(func() {
		_ = cmd.Process.Kill() // once it has ended: nothing
		<-done
	})
}

func (p *program) running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// end sends a signal and returns the exit status, -1 for death by signal.
func (p *program) end(signal unix.Signal) int {
	GinkgoHelper()
	Expect(p.process.Signal(signal)).To(Succeed())
	return p.ended()
}

// ended waits for the end and returns the exit status.
func (p *program) ended() int {
	GinkgoHelper()
	Eventually(p.done).Should(BeClosed(), "the %s does not end", p.name)
	return p.state.ExitCode()
}

// stop ends it in the ordinary way.
func (p *program) stop() {
	GinkgoHelper()
	Expect(p.end(unix.SIGTERM)).To(BeZero(), "exit status of the %s\n%s", p.name, p.log())
}

// kill ends it as kill -9 does.
func (p *program) kill() {
	GinkgoHelper()
	p.end(unix.SIGKILL)
}

// log returns all that it has printed.
func (p *program) log() string {
	text, err := os.ReadFile(p.path("output.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// cleanUp runs `multilink cleanup` for the program's files.
func (p *program) cleanUp() string {
	GinkgoHelper()
	status, out := p.on.multilink("cleanup", "--state-dir", p.path("state"))
	Expect(status).To(BeZero(), out)
	return out
}

// status is what the specs read of `multilink status --json`.
type status struct {
	State  string
	Reason string
	TUN    struct {
		Name, Mode string
		Offloads   []string
	}
	Session  *sessionStatus
	Links    []linkStatus
	Rejected map[string]string `json:"rejected_interfaces"`
	Clients  []struct {
		Name  string
		Links []linkStatus
		sessionStatus
	}
	Counters map[string]uint64
}

type sessionStatus struct {
	ID        string
	Addresses []string
	QoS       struct {
		Mode  string
		Rules int
	}
}

type linkStatus struct {
	Name, State, Role, Control, Address string
	LastError                           string `json:"last_error"`
	Underlay                            struct{ Mode string }
}

// status asks what it is doing; the zero status where it does not answer.
func (p *program) status() (s status) {
	GinkgoHelper()
	code, out := p.on.multilink("status", "--json", "--socket", p.socket())
	if code != 0 {
		return status{Reason: "status says: " + out}
	}
	Expect(json.Unmarshal([]byte(out), &s)).To(Succeed(), out)
	return s
}

// link returns the status of a link, the zero one if there is none.
func (s status) link(name string) linkStatus {
	for _, l := range s.Links {
		if l.Name == name {
			return l
		}
	}
	return linkStatus{}
}

// linkNames are the names of the links that carry data.
func (s status) linkNames() []string {
	names := []string{}
	for _, l := range s.Links {
		if l.State == "up" {
			names = append(names, l.Name)
		}
	}
	return names
}

// waitUp waits until it says that it is up: of a client, with that many links.
func (p *program) waitUp(links int) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(p.running()).To(BeTrue(), "it has ended")
		s := p.status()
		g.Expect(s.State).To(Equal("up"), s.Reason)
		g.Expect(s.linkNames()).To(HaveLen(links))
	}).Should(Succeed(), func() string { return p.role + " is not up: " + p.log() })
}

// addresses are the client's addresses in the tunnel, IPv4 and IPv6, without
// their lengths.
func (p *program) addresses() (list []string) {
	GinkgoHelper()
	s := p.status()
	Expect(s.Session).NotTo(BeNil())
	for _, a := range s.Session.Addresses {
		address, _, _ := strings.Cut(a, "/")
		list = append(list, address)
	}
	Expect(list).To(HaveLen(2))
	return list
}

// bench is a network with a server and a client on each client machine.
type bench struct {
	*network
	server  *program
	clients []*program
}

// newBench makes a bench; nothing runs on it yet.
func newBench(clients, links int) *bench {
	GinkgoHelper()
	b := &bench{network: newNetwork(clients, links)}
	for _, m := range b.network.clients {
		b.clients = append(b.clients, newClient(m, "client"))
	}
	b.server = newServer(b.network.server, "server", b.clients...)
	for _, c := range b.clients {
		c.knows(b.server)
	}
	return b
}

// start starts all programs and waits until they are up.
func (b *bench) start() {
	GinkgoHelper()
	b.server.start()
	b.server.waitUp(0)
	for _, c := range b.clients {
		c.start()
		c.waitUp(b.links)
	}
}
