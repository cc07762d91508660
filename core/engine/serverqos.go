package engine

import (
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/qos"
	"github.com/multilink-vpn/multilink/core/session"
)

// changeQoS follows a client's rules, if it may have some, and tells it.
func (s *Server) changeQoS(l *serverLink, rules []qos.Text) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.session.rules = rules
	l.conn.Post(control.QoS{Refused: s.followQoS(l.session)})
}

// followQoS puts the rules that a client has asked for into force, or says why
// not; with the lock held.
func (s *Server) followQoS(c *serverSession) (refused string) {
	if !s.cfg.AllowQoS {
		refused = "qos.allow is false on the server"
	}
	rules, err := qos.ParseAll(c.rules)
	if err != nil {
		refused = err.Error()
	}
	if refused != "" {
		rules = nil
	}
	c.followed = len(rules)
	c.driver.SetQoS(session.QoS{Rules: qos.New(rules), Send: qos.Down})
	return refused
}

// reviewQoS decides again about the rules of a client that has asked for some,
// and tells it; with the lock held.
func (s *Server) reviewQoS(c *serverSession) {
	if len(c.rules) > 0 {
		c.tell(control.QoS{Refused: s.followQoS(c)})
	}
}

// qosStatus describes the rules of a client; with the lock held.
func (c *serverSession) qosStatus() QoSStatus {
	if c.followed == 0 {
		return QoSStatus{Mode: config.QoSOff}
	}
	return QoSStatus{Mode: config.QoSQueue, Rules: c.followed}
}
