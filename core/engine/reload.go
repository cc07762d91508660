package engine

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"unicode"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
)

// Reload puts a new configuration into force: strategy, interfaces, links and
// rules of quality of service, whatever 'multilink link set' and 'multilink qos'
// have changed (the caller takes care of the log level). When anything else
// differs, nothing is changed, and the error says what needs a restart.
func (c *Client) Reload(next *config.Client) error {
	c.mu.Lock()
	now := *c.cfg
	c.mu.Unlock()
	rest := *next
	rest.Strategy, rest.Interfaces, rest.Links, rest.Log = now.Strategy, now.Interfaces, now.Links, now.Log
	rest.QoS = now.QoS
	if err := needsRestart(now, rest); err != nil {
		return err
	}
	c.mu.Lock()
	c.cfg = next
	clear(c.policies.set)
	c.mu.Unlock()
	c.enforce(context.Background())
	c.setQoS(next.QoS)
	if s := c.current.Load(); s != nil {
		s.settle(next.Strategy)
	}
	return nil
}

// settle asks the server for the configured strategy, if that has not been done or
// not been answered, or the server's, as it just said, is not the one in force here.
// The answer puts it into force. Without a link that is up, and when that goes before
// the answer comes, the next one will ask.
func (s *clientSession) settle(theirs control.Strategy) {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	want := c.cfg.Strategy
	over := c.firstConnection()
	if over != nil && (want != s.asked || s.asked != s.settled || theirs != s.strategy) {
		s.asked = want
		over.control.Post(control.Reconfigure{Strategy: want})
	}
}

// firstConnection returns a connection to tell the server something over, nil
// while no link is up. It is that of the same link as long as that is up, and what
// is posted with the lock held is in order: so the newest is the last at the server,
// and its answers are in order, too.
func (c *Client) firstConnection() *connection {
	for _, name := range c.names {
		if l := c.links[name]; l != nil && l.conn != nil {
			return l.conn
		}
	}
	return nil
}

// Reload puts a new configuration into force: the clients that may connect,
// the strategy, and whether the clients' wishes count (the caller takes care of
// the log level). When anything else differs, nothing is changed, and the
// error says what needs a restart.
func (s *Server) Reload(next *config.Server) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := *next
	rest.Strategy, rest.AllowClientStrategy, rest.Log = s.cfg.Strategy, s.cfg.AllowClientStrategy, s.cfg.Log
	rest.Clients, rest.AllowQoS = s.cfg.Clients, s.cfg.AllowQoS
	if err := needsRestart(*s.cfg, rest); err != nil {
		return err
	}
	if s.state != Up {
		return fmt.Errorf("the server is %s", s.state)
	}
	s.cfg, s.clients = next, clientsByKey(next)
	s.leases.configure(fixedAddresses(next))
	for key, c := range s.sessions {
		if kept := s.leases.byKey[key.String()]; kept == nil || s.moved(c, *kept) {
			s.log.Info("session ended", "client", c.name, "reason", "its client was changed or removed")
			s.endSession(c, control.Goodbye{Reason: "the server's configuration of this client has changed"})
			continue
		}
		if err := s.reconfigure(c, s.strategy(c.strategy)); err != nil {
			return err
		}
		c.tell(control.Reconfigure{Strategy: c.strategy})
		s.reviewQoS(c)
	}
	return nil
}

// moved says that a lease has other addresses than its session.
func (s *Server) moved(c *serverSession, l lease) bool {
	v4, v6 := s.leases.addresses(l)
	return c.address != [2]netip.Prefix{v4, v6}
}

// keyName is the configuration's key, or table, of a field.
func keyName(field string) string {
	var key strings.Builder
	for i, c := range field {
		if i > 0 && unicode.IsUpper(c) && unicode.IsLower(rune(field[i-1])) {
			key.WriteByte('_')
		}
		key.WriteRune(unicode.ToLower(c))
	}
	return key.String()
}

// needsRestart compares what cannot change while running.
func needsRestart[T any](now, next T) error {
	var names []string
	a, b := reflect.ValueOf(now), reflect.ValueOf(next)
	for i := range a.NumField() {
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			names = append(names, keyName(a.Type().Field(i).Name))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("changed settings need a restart, nothing was applied: %s", strings.Join(names, ", "))
}
