package engine

import (
	"context"
	"slices"

	"github.com/multilink-vpn/multilink/core/netmon"
)

// runner is a link that is being run.
type runner struct {
	link *clientLink
	stop context.CancelFunc
	done chan struct{}
}

// runners run the links of a session, one for each interface. They belong to one
// goroutine.
type runners struct {
	client  *Client
	session *clientSession
	all     context.Context // ends them all
	running map[string]*runner
}

// start runs a link, by the connection that has been made for it, if there is
// one, and once after is closed, if it is not nil.
func (l *runners) start(link *clientLink, conn *connection, after <-chan struct{}) {
	one, stop := context.WithCancel(l.all)
	r := &runner{link: link, stop: stop, done: make(chan struct{})}
	l.running[link.name] = r
	l.client.setRunning(link, true)
	go func() {
		defer close(r.done)
		if after != nil {
			<-after // two of one interface do not overlap
		}
		link.run(one, l.session, conn)
	}()
}

// follow stops the links of interfaces that are not usable any more, starts those
// of new ones, and begins anew where the addresses are others.
func (l *runners) follow(usable []netmon.Interface) {
	c := l.client
	for name, r := range l.running {
		if !slices.ContainsFunc(usable, func(i netmon.Interface) bool { return i.Name == name }) {
			r.stop()
			<-r.done
			c.setRunning(r.link, false)
			delete(l.running, name)
		}
	}
	for _, ifc := range usable {
		r := l.running[ifc.Name]
		switch {
		case r == nil:
			if link := c.link(ifc); link != nil {
				l.start(link, nil, nil)
			}
		case r.link.moved(ifc):
			c.log.Info("address changed", "link", ifc.Name, "addresses", slices.Concat(ifc.Addrs4, ifc.Addrs6))
			r.stop()
			l.start(c.link(ifc), nil, r.done)
		case r.link.changed(ifc):
			c.link(ifc)
			poke(r.link.kick)
		}
	}
}

// wait waits until the links, which have been told to stop, have ended.
func (l *runners) wait() {
	for _, r := range l.running {
		<-r.done
		l.client.setRunning(r.link, false)
	}
}
