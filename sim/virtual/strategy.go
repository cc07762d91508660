package virtual

import (
	"fmt"

	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/reseq"
	"github.com/multilink-vpn/multilink/core/sched"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/sim/report"
)

// strategies are how the two ends work under a scenario's configuration keys,
// as the engine would agree on it: the client asks, the server follows unless
// its allow_client_strategy says that its own keys count. Keys that are about
// something else are not looked at.
func strategies(clientKeys, serverKeys map[string]any) (clientSide, serverSide Strategy, err error) {
	keys := clientKeys
	if allow, ok := serverKeys["allow_client_strategy"].(bool); ok && !allow {
		keys = serverKeys
	}
	d := keyReader{keys: keys}
	schedulerUp, schedulerDown := d.perDirection("scheduler", sched.Default)
	reorderUp, reorderDown := d.perDirection("reorder", reseq.Default)
	equalize := d.name(keys, "equalize", session.EqualizeAuto)
	reports := d.name(keys, "reports", session.ReportsAuto)
	classifier := d.name(keys, "classifier", classify.Default)
	paced, again := d.flag("rate_control", true), d.flag("retransmit", true)
	clientSide = Strategy{
		Send: session.Strategy{
			Scheduler: schedulerUp, RateControl: paced, Retransmit: again,
			Equalize: equalize, Classifier: classifier, Reports: reports,
		},
		Reorder: reorderDown,
	}
	serverSide = Strategy{
		Send: session.Strategy{
			Scheduler: schedulerDown, RateControl: paced, Retransmit: again,
			Equalize: equalize, Classifier: classifier, Reports: reports,
		},
		Reorder: reorderUp,
	}
	if d.err != nil {
		return clientSide, serverSide, d.err
	}
	clientSide.QoS, serverSide.QoS, err = qualities(clientKeys, serverKeys)
	return clientSide, serverSide, err
}

// keyReader reads configuration keys and keeps the first error.
type keyReader struct {
	keys map[string]any
	err  error
}

// perDirection reads a name for both directions, or a table with one for each.
func (d *keyReader) perDirection(key, otherwise string) (up, down string) {
	table, ok := d.keys[key].(map[string]any)
	if !ok {
		name := d.name(d.keys, key, otherwise)
		return name, name
	}
	return d.name(table, "up", otherwise), d.name(table, "down", otherwise)
}

func (d *keyReader) name(table map[string]any, key, otherwise string) string {
	switch v := table[key].(type) {
	case nil:
		return otherwise
	case string:
		return v
	default:
		d.bad(key, v, "a name")
		return otherwise
	}
}

func (d *keyReader) flag(key string, otherwise bool) bool {
	switch v := d.keys[key].(type) {
	case nil:
		return otherwise
	case bool:
		return v
	default:
		d.bad(key, v, "true or false")
		return otherwise
	}
}

func (d *keyReader) bad(key string, v any, want string) {
	if d.err == nil {
		d.err = fmt.Errorf("%s = %v: must be %s", key, v, want)
	}
}

// tableNumber reads a number from a table within the keys, 0 if there is none.
func tableNumber(keys map[string]any, table, key string) int {
	t, _ := keys[table].(map[string]any)
	v, _ := report.Number(t[key])
	return int(v)
}
