package virtual

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/report"
)

// linkSeries samples what the links deliver, in bit/s of outer IP packets.
type linkSeries struct {
	sim  *Simulation
	last [][2]uint64
	t    []float64
	v    [][2][]float64
}

// sampleLinks begins to sample, from now to until.
func (s *Simulation) sampleLinks(until time.Duration) *linkSeries {
	ls := &linkSeries{sim: s, last: make([][2]uint64, len(s.links)), v: make([][2][]float64, len(s.links))}
	for i := range s.links {
		ls.last[i] = ls.delivered(i)
	}
	var next func()
	next = func() {
		ls.sample()
		if s.Now()+meter.BinWidth <= until {
			s.after(meter.BinWidth, next)
		}
	}
	s.after(meter.BinWidth, next)
	return ls
}

func (ls *linkSeries) delivered(link int) (bytes [2]uint64) {
	for d, st := range ls.sim.links[link].own {
		bytes[d] = st.model.Stats().BytesOut
	}
	return bytes
}

func (ls *linkSeries) sample() {
	ls.t = append(ls.t, (ls.sim.Now() - meter.BinWidth).Seconds())
	for i := range ls.v {
		now := ls.delivered(i)
		for d := range now {
			ls.v[i][d] = append(ls.v[i][d], float64(now[d]-ls.last[i][d])*8/meter.BinWidth.Seconds())
		}
		ls.last[i] = now
	}
}

// series are the samples by name: "link.wlan0.down.rate".
func (ls *linkSeries) series(into map[string]report.Series) {
	for i, l := range ls.sim.links {
		for d := range ls.v[i] {
			into[fmt.Sprintf("link.%s.%s.rate", l.Name, Direction(d))] = report.Series{T: ls.t, V: ls.v[i][d]}
		}
	}
}

// measureLinks are the counters of the links by name and direction.
func (s *Simulation) measureLinks() map[string]any {
	all := map[string]any{}
	for _, l := range s.links {
		one := map[string]any{}
		for d, st := range l.own {
			stats := st.model.Stats()
			one[Direction(d).String()] = map[string]any{
				"bytes":      float64(stats.BytesOut),
				"packets":    float64(stats.PacketsOut),
				"dropped":    float64(stats.Dropped()),
				"queued_max": float64(stats.QueuedMax),
			}
		}
		all[l.Name] = one
	}
	return all
}

// clientName is the name of the one client there is, in the server's status.
const clientName = "client"

// measureEnds are the two ends in the shape of their status, as far as there
// are sessions: links and clients by name.
func (s *Simulation) measureEnds() (clientStatus, serverStatus map[string]any, err error) {
	clientSession, clientLinks, counters, err := statusOf(s.Client())
	if err != nil {
		return nil, nil, err
	}
	clientStatus = map[string]any{
		"role": "client", "state": stateOf(s.Client()), "uptime": s.Now().Seconds(),
		"session": clientSession, "links": clientLinks, "counters": counters,
	}
	entry, links, counters, err := statusOf(s.Server())
	if err != nil {
		return nil, nil, err
	}
	entry["name"], entry["links"] = clientName, links
	serverStatus = map[string]any{
		"role": "server", "state": "up", "uptime": s.Now().Seconds(),
		"clients": map[string]any{clientName: entry}, "counters": counters,
	}
	return clientStatus, serverStatus, nil
}

func stateOf(snap session.Snapshot) string {
	for _, l := range snap.Links {
		if l.State == "up" {
			return "up"
		}
	}
	return "no-link"
}

// statusOf takes a snapshot apart by the names it has as JSON.
func statusOf(snap session.Snapshot) (whole, links map[string]any, counters any, err error) {
	text, err := json.Marshal(snap)
	if err == nil {
		err = json.Unmarshal(text, &whole)
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("snapshot: %w", err)
	}
	links = map[string]any{}
	if list, ok := whole["links"].([]any); ok {
		for i, l := range snap.Links {
			links[l.Name] = list[i]
		}
	}
	delete(whole, "links")
	return whole, links, whole["counters"], nil
}
