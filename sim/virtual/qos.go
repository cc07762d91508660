package virtual

import (
	"fmt"

	"github.com/multilink-vpn/multilink/core/qos"
	"github.com/multilink-vpn/multilink/core/session"
)

// QoS is what an end does about the priority and latency of packets. The zero
// QoS treats all the same.
type QoS struct {
	Rules  []qos.Rule
	Window bool // see session.QoS
}

// qualities are what the two ends do under the key qos of a scenario, as the
// engine would agree on it: where the server refuses rules, the client shapes
// windows.
func qualities(clientKeys, serverKeys map[string]any) (clientSide, serverSide QoS, err error) {
	table, _ := clientKeys["qos"].(map[string]any)
	d := keyReader{keys: table}
	mode := d.name(table, "mode", "queue")
	if d.err != nil {
		return clientSide, serverSide, fmt.Errorf("qos: %w", d.err)
	}
	list, _ := table["rule"].([]any)
	if len(list) == 0 || mode == "off" {
		return clientSide, serverSide, nil
	}
	texts := make([]qos.Text, len(list))
	for i, v := range list {
		rule, _ := v.(map[string]any)
		texts[i] = ruleText(rule)
	}
	rules, err := qos.ParseAll(texts)
	if err != nil {
		return clientSide, serverSide, fmt.Errorf("qos: %w", err)
	}
	server, _ := serverKeys["qos"].(map[string]any)
	allow, said := server["allow"].(bool)
	if mode == "window" || said && !allow {
		return QoS{Rules: rules, Window: true}, serverSide, nil
	}
	return QoS{Rules: rules}, QoS{Rules: rules}, nil
}

// ruleText is a rule in the form of the keys, where numbers may stand for words.
func ruleText(rule map[string]any) qos.Text {
	word := func(key string) string {
		if rule[key] == nil {
			return ""
		}
		return fmt.Sprint(rule[key])
	}
	return qos.Text{
		Address: word("address"), Port: word("port"), Protocol: word("protocol"), DSCP: word("dscp"),
		Direction: word("direction"), Priority: tableNumber(map[string]any{"rule": rule}, "rule", "priority"), Latency: word("latency"),
	}
}

// setQoS puts rules into force at an end.
func (e *end) setQoS(q QoS) {
	send := qos.Up
	if e.index == server {
		send = qos.Down
	}
	e.session.SetQoS(e.now(), session.QoS{Rules: qos.New(q.Rules), Send: send, Window: q.Window}, &e.out)
	e.carryOut()
}
