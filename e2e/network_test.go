package e2e

import (
	"fmt"
)

// The addresses of every network. Those of clients are made by linkAddress.
const (
	serverAddress = "192.0.2.1"
	host4         = "198.18.0.1"     // a host on the internet
	host6         = "fd00:198:18::1" // the same
	farHost       = "203.0.113.1"    // another
	silentAddress = "203.0.113.99"   // nothing ever answers from there
	resolver      = "198.51.100.53"  // a name server on the internet
	serverPort    = 5410
	tunnelGateway = "10.8.0.1" // the server's address in the tunnel
)

// network is a small internet. A router stands for all of it, hosts included,
// so that every packet passes it: past the tunnel from the client's own
// address, through the tunnel from the server's.
//
//	client-a --wan0--+
//	         --wan1--+            +-- server
//	client-b --wan0--+-- router --+
//	         --wan1--+   (hosts)
type network struct {
	folder  string
	router  *machine
	server  *machine
	clients []*machine
	links   int // of each client
}

// newNetwork makes a network that goes with the spec.
func newNetwork(clients, links int) *network {
	folder := specFolder()
	n := &network{folder: folder, links: links, router: newMachine(folder, "router"), server: newMachine(folder, "server")}
	n.router.forward()
	for _, host := range []string{host4 + "/32", host6 + "/128", farHost + "/32", resolver + "/32"} {
		n.router.address("lo", host)
	}
	n.router.swallow(silentAddress + "/32")
	n.router.cable("server", n.server, "eth0")
	n.router.address("server", "192.0.2.254/24", "fd00:192::254/64")
	n.server.address("eth0", serverAddress+"/24", "fd00:192::1/64")
	n.server.defaultRoutes("eth0", 0, "192.0.2.254", "fd00:192::254")
	for c := range clients {
		m := newMachine(folder, "client-"+string(rune('a'+c)))
		n.clients = append(n.clients, m)
		for l := range links {
			n.connect(c, l, fmt.Sprintf("wan%d", l))
		}
	}
	return n
}

// connect gives client c its link number l, over an interface of that name.
func (n *network) connect(c, l int, name string) {
	port := fmt.Sprintf("c%dl%d", c, l)
	n.router.cable(port, n.clients[c], name)
	n.router.address(port, linkNetwork(c, l)+"1/24")
	n.clients[c].address(name, linkAddress(c, l)+"/24")
	n.clients[c].defaultRoutes(name, 100+l, linkNetwork(c, l)+"1")
}

// linkNetwork is the network of a link, less its last number.
func linkNetwork(client, link int) string { return fmt.Sprintf("10.%d.%d.", 100+client, link) }

// linkAddress is the client's address on a link.
func linkAddress(client, link int) string { return linkNetwork(client, link) + "2" }
