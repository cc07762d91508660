package engine

import (
	"maps"
	"reflect"
	"strings"

	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/core/tun"
	"github.com/multilink-vpn/multilink/core/underlay"
)

// Counters are totals by name. Those of a session have the names of
// session.Counters; those of the device begin with "tun_", of the sockets with
// "udp_", of the control listener with "control_"; the engine's own are in
// [engineCounters].
type Counters map[string]uint64

// The prefixes of counters that are not a session's.
const (
	tunPrefix     = "tun_"
	udpPrefix     = "udp_"
	controlPrefix = "control_"
)

// addStruct adds the integer fields of a struct under their JSON names.
func (c Counters) addStruct(prefix string, s any) {
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		switch f := v.Field(i); {
		case name == "" || name == "-":
		case f.CanUint():
			c[prefix+name] += f.Uint()
		case f.CanInt():
			c[prefix+name] += uint64(max(0, f.Int()))
		}
	}
}

// counterNames lists every counter of a role.
func counterNames(role string) Counters {
	c := make(Counters)
	c.addStruct("", session.Counters{})
	c.addStruct(tunPrefix, tun.Counters{})
	c.addStruct(udpPrefix, underlay.Counters{})
	if role == roleServer {
		c.addStruct(controlPrefix, control.ListenerCounters{})
		c.addStruct("", new(serverCounters).snapshot())
	} else {
		c.addStruct("", new(clientCounters).snapshot())
	}
	return c
}

// add adds the totals of another set.
func (c Counters) add(other Counters) {
	for name, n := range maps.All(other) {
		c[name] += n
	}
}
