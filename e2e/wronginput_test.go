package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// The exit statuses of both programs.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitMachine = 3
)

// nobody has no rights at all.
const nobody = 65534

// expectExit runs a program on a machine and expects its exit status and words
// in what it prints.
func expectExit(on *machine, cmd *exec.Cmd, status int, words []string, mounts ...nsdo.Mount) {
	GinkgoHelper()
	got, out := on.run(cmd, mounts...)
	Expect(got).To(Equal(status), out)
	for _, word := range words {
		Expect(out).To(ContainSubstring(word))
	}
	Expect(out).NotTo(ContainSubstring("goroutine "), "it panicked")
}

func multilink(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(suite.bin, "multilink"), args...)
}

func multilinkSim(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(suite.bin, "multilink-sim"), args...)
}

// asNobody takes all rights from a command.
func asNobody(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

var _ = Describe("Wrong input", func() {
	// The machine has no network: nothing can come of what starts by mistake.
	var (
		m              *machine
		client, server *program
	)
	BeforeEach(func() {
		m = newMachine(specFolder(), "alone")
		client, server = newClient(m, "client"), newServer(m, "server")
		client.set(keys{"server": serverAddress, "server_key": server.public})
		server.serves(client)
	})
	of := func(role string) *program {
		if role == "server" {
			return server
		}
		return client
	}
	runs := func(p *program) *exec.Cmd {
		GinkgoHelper()
		p.write()
		return multilink(p.role, "--config", p.path("config.toml"))
	}
	// expectNothingStarted looks for what a started program makes first.
	expectNothingStarted := func(before []string) {
		GinkgoHelper()
		m.expectSettings(before)
		for _, p := range []*program{client, server} {
			Expect(p.path("state")).NotTo(BeAnExistingFile())
		}
	}

	DescribeTable("in a configuration: the place and what would be right",
		func(role string, wrong keys, words ...string) {
			p, before := of(role), m.settings()
			p.set(wrong)
			expectExit(m, runs(p), exitUsage, append(words, p.path("config.toml")+":"))
			expectNothingStarted(before)
		},
		Entry("unknown scheduler", "client", keys{"scheduler": "fastest"},
			`scheduler = "fastest"`, "must be one of", "wrr", "redundant"),
		Entry("unknown scheduler of a server", "server", keys{"scheduler": "minrt"}, `did you mean "minrtt"?`),
		Entry("unknown resequencer", "client", keys{"reorder": "none at all"}, "must be one of", "global"),
		Entry("misspelt key", "client", keys{"kill_swich": true}, "kill_swich", `did you mean "kill_switch"?`),
		Entry("unknown key in a table", "client", keys{"tun": keys{"colour": "red"}}, "tun.colour"),
		Entry("a key of the other end", "client", keys{"masquerade": true}, "masquerade", "a server has it"),
		Entry("wrong type", "server", keys{"masquerade": "yes"}, `masquerade = "yes"`, "true or false"),
		Entry("impossible MTU", "client", keys{"tun": keys{"mtu": 70000}}, "tun.mtu = 70000", "1280.."),
		Entry("impossible address of the server", "client", keys{"server": "vpn.example.org:port"}, "port", "1..65535"),
		Entry("impossible port", "server", keys{"listen": ":70000"}, `listen = ":70000"`, `":5410"`),
		Entry("no key at all", "client", keys{"server_key": "none"}, `server_key = "none"`),
		Entry("name of an interface that is too long", "client", keys{"tun": keys{"name": "multilink-tunnel"}}, "15 characters"),
		Entry("a pool too small for its clients", "server",
			keys{"addresses": keys{"pool4": "10.8.0.0/30"}, "max_clients": 2}, "max_clients", "room for 1"),
		Entry("no file for the private key", "client", keys{"private_key_file": "/nowhere/private.key"},
			"private_key_file", "no such file"),
		Entry("a kill switch without a default route", "client",
			keys{"kill_switch": true, "routes": keys{"default": false}}, "kill_switch", "routes.default"),
	)

	It("with the line and the column", func() {
		client.write()
		path := client.path("config.toml")
		text, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(path, append([]byte("# mine\n\n  graze = \"1m\"\n"), text...), 0o600)).To(Succeed())
		expectExit(m, multilink("client", "--config", path), exitUsage, []string{path + ":3:3:", `"graze"`, `did you mean "grace"?`})
	})

	It("no TOML at all", func() {
		path := client.path("config.toml")
		Expect(os.WriteFile(path, []byte("server = \n"), 0o600)).To(Succeed())
		expectExit(m, multilink("client", "--config", path), exitUsage, []string{path + ":1:"})
	})

	It("every mistake at once", func() {
		client.set(keys{"scheduler": "x", "reorder": "y", "grace": "z"})
		expectExit(m, runs(client), exitUsage, []string{`scheduler = "x"`, `reorder = "y"`, `grace = "z"`})
	})

	It("a missing configuration file", func() {
		for _, role := range []string{"client", "server"} {
			expectExit(m, multilink(role, "--config", "/nowhere/it.toml"), exitUsage, []string{"/nowhere/it.toml", "no such file"})
		}
	})

	It("a private key that others can read: a warning, and it starts", func() {
		Expect(os.Chmod(server.path("private.key"), 0o644)).To(Succeed())
		server.start()
		server.waitUp(0)
		Expect(server.log()).To(SatisfyAll(
			ContainSubstring("warning"), ContainSubstring("0644"), ContainSubstring("chmod 600 "+server.path("private.key"))))
		server.stop()
	})

	It("a private key in a configuration that others can read: a warning, and it starts", func() {
		key, err := os.ReadFile(server.path("private.key"))
		Expect(err).NotTo(HaveOccurred())
		delete(server.config, "private_key_file")
		server.set(keys{"private_key": string(key[:len(key)-1])})
		server.write()
		Expect(os.Chmod(server.path("config.toml"), 0o644)).To(Succeed())
		server.launch(multilink("server", "--config", server.path("config.toml")))
		server.waitUp(0)
		Expect(server.log()).To(SatisfyAll(ContainSubstring("warning"), ContainSubstring("0644"), ContainSubstring("config.toml")))
		Expect(server.log()).NotTo(ContainSubstring(string(key[:len(key)-1])))
		server.stop()
	})

	DescribeTable("no root",
		func(role string) {
			before := m.settings()
			p := of(role)
			cmd := asNobody(runs(p))
			for _, path := range []string{p.path(""), p.path("config.toml"), p.path("private.key")} {
				Expect(os.Chown(path, nobody, nobody)).To(Succeed())
			}
			expectExit(m, cmd, exitMachine, []string{"multilink " + role + " needs root", "sudo"})
			expectNothingStarted(before)
		},
		Entry(nil, "client"),
		Entry(nil, "server"),
	)

	It("no root to clean up", func() {
		expectExit(m, asNobody(multilink("cleanup")), exitMachine, []string{"needs root", "sudo"})
	})

	DescribeTable("no /dev/net/tun",
		func(role string) {
			before := m.settings()
			expectExit(m, runs(of(role)), exitMachine, []string{"modprobe tun"},
				nsdo.Mount{Source: m.path("empty"), Target: "/dev/net"})
			m.expectSettings(before)
		},
		Entry(nil, "client"),
		Entry(nil, "server"),
	)

	DescribeTable("a port in use",
		func(protocol string, listen func(address string) (interface{ Close() error }, error)) {
			m.do(func() error {
				taken, err := listen(fmt.Sprintf(":%d", serverPort))
				if err == nil {
					DeferCleanup(taken.Close)
				}
				return err
			})
			before := m.settings()
			expectExit(m, runs(server), exitFailure,
				[]string{fmt.Sprintf("%s port %d is in use by another program", protocol, serverPort), "another port"})
			m.expectSettings(before)
		},
		Entry(nil, "TCP", func(address string) (interface{ Close() error }, error) { return net.Listen("tcp", address) }),
		Entry(nil, "UDP", func(address string) (interface{ Close() error }, error) { return net.ListenPacket("udp", address) }),
	)

	DescribeTable("on the command line",
		func(words []string, args ...string) {
			expectExit(m, multilink(args...), exitUsage, append(words, "--help"))
		},
		Entry("no command", []string{"a command is missing", "Usage"}),
		Entry("an unknown command", []string{"unknown command", "sever"}, "sever"),
		Entry("an unknown flag", []string{"unknown flag", "--confg"}, "client", "--confg", "x"),
		Entry("an argument too many", []string{"did you mean multilink client --config x.toml?"}, "client", "x.toml"),
	)

	It("no program to ask for its status", func() {
		expectExit(m, multilink("status", "--socket", "/nowhere/it.sock"), exitFailure, []string{"/nowhere/it.sock", "does not exist"})
	})
})

var _ = Describe("Wrong input of the testbed", func() {
	var m *machine
	BeforeEach(func() { m = newMachine(specFolder(), "alone") })
	write := func(text string) string {
		GinkgoHelper()
		path := m.path("scenario.yaml")
		Expect(os.WriteFile(path, []byte(text), 0o644)).To(Succeed())
		return path
	}
	const good = `name: good
about: Nothing is wrong with it.
duration: 5s
links:
  - {name: wan0, both: {rate: 10mbit, delay: 10ms}}
traffic:
  - {name: echo, kind: ping}
expect:
  - echo.loss <= 0.5
`

	DescribeTable("in a scenario: the place and what would be right",
		func(place, text string, words ...string) {
			path := write(text)
			for _, command := range []string{"check", "run"} {
				expectExit(m, multilinkSim(command, path), exitUsage, append(words, path+place))
			}
		},
		Entry("a link name of 16 characters", ":3:",
			"name: x\nduration: 5s\nlinks: [{name: wan0123456789abc, both: {rate: 10mbit}}]\n", "wan0123456789abc", "16 characters", "15"),
		Entry("a negative rate", ":3:",
			"name: x\nduration: 5s\nlinks: [{name: wan0, both: {rate: -10mbit}}]\n", "rate", "-10mbit"),
		Entry("a link that is not there", ":5:",
			"name: x\nduration: 5s\nlinks: [{name: wan0, both: {rate: 10mbit}}]\ntimeline:\n  - {at: 1s, link: wan1, do: unplug}\n", "wan1", "wan0"),
		Entry("traffic on a missing host", ":4:",
			"name: x\nduration: 5s\nlinks: [{name: wan0, both: {rate: 10mbit}}]\ntraffic: [{name: a, kind: ping, to: 3}]\n", "to = 3", "1 and 2"),
		Entry("an expectation of what is not measured", ":6:",
			"name: x\nduration: 5s\nlinks: [{name: wan0, both: {rate: 10mbit}}]\ntraffic: [{name: a, kind: ping}]\nexpect:\n  - b.loss < 1\n", "b"),
		Entry("a client's key that is not there", ":4:",
			"name: x\nduration: 5s\nlinks: [{name: wan0, both: {rate: 10mbit}}]\nclient: {schedular: wrr}\n", "schedular", "scheduler"),
		Entry("no YAML", ":2:", "name: x\nlinks: [\n"),
	)

	It("no root", func() {
		expectExit(m, asNobody(multilinkSim("run", write(good))), exitMachine, []string{"root"})
	})

	DescribeTable("on the command line",
		func(words []string, args ...string) { expectExit(m, multilinkSim(args...), exitUsage, words) },
		Entry("an unknown command", []string{"unknown command"}, "rnu"),
		Entry("an unknown flag", []string{"unknown flag", "--sed"}, "run", "--sed", "1", "x.yaml"),
		Entry("a wrong value", []string{"--impair", "auto, netem, user"}, "run", "--impair", "tc", "x.yaml"),
		Entry("no file", []string{"an argument is missing", "run FILE"}, "run"),
		Entry("a result that could not be written", []string{"--json", "is a folder"}, "run", "--json", "/", "x.yaml"),
		Entry("a file that is not there", []string{"/nowhere/x.yaml", "no such file"}, "run", "/nowhere/x.yaml"),
	)
})
