package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/qos"
	"github.com/multilink-vpn/multilink/core/session"
)

// agreement is what the server has said to a session's rules. The client's lock
// guards it.
type agreement struct {
	asked   int    // version of the rules that the server was last asked for
	settled int    // version that it has answered
	refused string // why it does not follow; "": it does
}

// setQoS puts rules into force.
func (c *Client) setQoS(q config.QoS) {
	c.mu.Lock()
	c.qos = q
	c.qosVersion++
	c.mu.Unlock()
	if s := c.current.Load(); s != nil {
		s.applyQoS()
		s.askQoS()
	}
}

// inForce is the mode that the rules are applied in, and why it is not the one
// that was chosen; with the client's lock held.
func (s *clientSession) inForce() (mode, reason string) {
	mode = s.client.qos.Mode
	if mode == config.QoSQueue && s.qos.refused != "" {
		return config.QoSWindow, "the server does not follow the rules: " + s.qos.refused
	}
	return mode, ""
}

// applyQoS makes this end follow the rules.
func (s *clientSession) applyQoS() {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	q := session.QoS{Send: qos.Up}
	if mode, _ := s.inForce(); mode != config.QoSOff {
		q.Rules = qos.New(c.qos.Rules)
		q.Window = mode == config.QoSWindow
	}
	s.driver.SetQoS(q)
}

// askQoS asks the server to follow the rules that are in force, unless it has
// answered. Without a link that is up, the next one will ask.
func (s *clientSession) askQoS() {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	var ask control.QoS
	if c.qos.Mode == config.QoSQueue {
		ask.Rules = config.QoSTexts(c.qos.Rules)
	}
	over := c.firstConnection()
	// A server that was never asked has no rules.
	needed := s.qos.settled != c.qosVersion && (len(ask.Rules) > 0 || s.qos.asked > 0)
	if needed && over != nil {
		s.qos.asked = c.qosVersion
		over.control.Post(ask) // if it does not get there, the next link asks
	}
}

// answeredQoS takes the server's answer.
func (s *clientSession) answeredQoS(m control.QoS) {
	c := s.client
	c.mu.Lock()
	before, _ := s.inForce()
	s.qos.settled, s.qos.refused = s.qos.asked, m.Refused
	now, reason := s.inForce()
	c.mu.Unlock()
	if before != now {
		c.log.Info("quality of service changed", "mode", now, "reason", reason)
		s.applyQoS()
	}
}

func (s *clientSession) qosStatus() QoSStatus {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	st := QoSStatus{Rules: len(s.client.qos.Rules)}
	st.Mode, st.Reason = s.inForce()
	return st
}

// QoSChange is what the command qos is asked for; without Add and Remove it
// changes nothing.
type QoSChange struct {
	Add *qos.Text `json:"add,omitempty"`
	// At is the number that the added rule gets, from 1; 0: the last.
	At     int `json:"at,omitempty"`
	Remove int `json:"remove,omitempty"` // the number of a rule, from 1
}

// QoSRules are the rules in force.
type QoSRules struct {
	QoSStatus
	List []QoSRule `json:"list"`
}

// QoSRule is one of them.
type QoSRule struct {
	Number int `json:"number"` // the first that matches counts
	qos.Text
	// Packets is how many packets it has matched that the client sent, in the
	// mode "window" also that it got: since it or another rule was changed, or
	// the session began.
	Packets uint64 `json:"packets"`
}

// changeQoS changes the rules until the client ends or reads its configuration
// again, and lists them.
func (c *Client) changeQoS(change QoSChange) (QoSRules, error) {
	c.mu.Lock()
	q := c.qos
	c.mu.Unlock()
	texts := config.QoSTexts(q.Rules)
	n := len(texts)
	switch {
	case change.Add != nil && change.Remove != 0:
		return QoSRules{}, errors.New("add and remove: one at a time")
	case change.Remove < 0 || change.Remove > n:
		return QoSRules{}, fmt.Errorf("there is no rule %d: %s", change.Remove, count(n))
	case change.At < 0 || change.At > n+1:
		return QoSRules{}, fmt.Errorf("there is no place %d for a rule: must be 1..%d", change.At, n+1)
	case change.Add != nil:
		at := n
		if change.At > 0 {
			at = change.At - 1
		}
		texts = slices.Insert(texts, at, *change.Add)
	case change.Remove > 0:
		texts = slices.Delete(texts, change.Remove-1, change.Remove)
	default:
		return c.listQoS(), nil
	}
	rules, err := qos.ParseAll(texts)
	if err != nil {
		return QoSRules{}, err
	}
	q.Rules = rules
	c.setQoS(q)
	return c.listQoS(), nil
}

// count says how many rules there are.
func count(n int) string {
	switch n {
	case 0:
		return "there are none"
	case 1:
		return "there is one"
	}
	return fmt.Sprintf("there are %d", n)
}

func (c *Client) listQoS() QoSRules {
	c.mu.Lock()
	list := QoSRules{QoSStatus: QoSStatus{Mode: c.qos.Mode, Rules: len(c.qos.Rules)}, List: []QoSRule{}}
	for i, t := range config.QoSTexts(c.qos.Rules) {
		list.List = append(list.List, QoSRule{Number: i + 1, Text: t})
	}
	c.mu.Unlock()
	if s := c.current.Load(); s != nil {
		list.QoSStatus = s.qosStatus()
		for i, hits := range s.driver.RuleHits() {
			if i < len(list.List) {
				list.List[i].Packets = hits
			}
		}
	}
	return list
}
