package config

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/multilink-vpn/multilink/core/qos"
)

// What a client does about its rules of quality of service.
const (
	QoSQueue  = "queue"  // classes in the queues of both ends; QoSWindow where the server refuses
	QoSWindow = "window" // the client alone: it slows down TCP downloads of lower priority
	QoSOff    = "off"    // nothing
)

// QoS is a client's quality of service.
type QoS struct {
	Mode  string // QoSQueue, QoSWindow or QoSOff
	Rules []qos.Rule
}

func decodeQoS(t *table) QoS {
	q := QoS{Mode: get(t, "mode", QoSQueue, oneOf(QoSQueue, QoSWindow, QoSOff))}
	tables := t.tables("rule")
	texts := make([]qos.Text, len(tables))
	for i, r := range tables {
		texts[i] = qos.Text{
			Address:   get(r, "address", "", nonEmpty),
			Port:      get(r, "port", "", numberOrWord),
			Protocol:  get(r, "protocol", "", numberOrWord),
			DSCP:      get(r, "dscp", "", numberOrWord),
			Direction: get(r, "direction", "", nonEmpty),
			Priority:  get(r, "priority", 0, integer(qos.Highest, qos.Lowest)),
			Latency:   get(r, "latency", "", nonEmpty),
		}
	}
	if len(tables) == 0 || len(t.d.errs) > 0 {
		return q // or the rules are not what was meant
	}
	var err error
	if q.Rules, err = qos.ParseAll(texts); err != nil {
		failRules(t, tables, err)
	}
	return q
}

// failRules reports what is wrong with the rules, where it is.
func failRules(t *table, tables []*table, err error) {
	rule, ok := errors.AsType[*qos.RuleError](err)
	if !ok {
		t.fail("rule", "", t.path+".rule", err.Error())
		return
	}
	field, ok := errors.AsType[*qos.FieldError](rule.Err)
	if !ok {
		t.fail(elem("rule", rule.Index), "", fmt.Sprintf("qos rule %d", rule.Index+1), rule.Err.Error())
		return
	}
	r := tables[rule.Index]
	if v, there := r.values[field.Field]; there {
		r.fail(field.Field, show(v), "", field.Err.Error())
		return
	}
	t.fail(elem("rule", rule.Index), "", fmt.Sprintf("qos rule %d", rule.Index+1), field.Error())
}

// numberOrWord reads a value that is a number or a text, as a text.
func numberOrWord(v any) (string, error) {
	if n, ok := v.(int64); ok {
		return strconv.FormatInt(n, 10), nil
	}
	s, err := nonEmpty(v)
	if err != nil {
		err = errors.New("must be a number, or a string in quotes")
	}
	return s, err
}

// QoSTexts returns rules as they were written.
func QoSTexts(rules []qos.Rule) []qos.Text {
	texts := make([]qos.Text, len(rules))
	for i, r := range rules {
		texts[i] = r.Text()
	}
	return texts
}
