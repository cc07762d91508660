package engine

import (
	"cmp"
	"os"
	"slices"
)

// Status tells what the server believes.
func (s *Server) Status() Status {
	st := Status{
		Role: roleServer, Version: s.opts.Version, PID: os.Getpid(), Uptime: age(s.started),
		Counters: counterNames(roleServer),
	}
	st.Counters.addStruct("", s.counters.snapshot())
	s.mu.Lock()
	defer s.mu.Unlock()
	st.State, st.Reason, st.Warnings = s.state, s.reason, s.warnings
	st.TUN.Name = s.cfg.TUN.Name
	if s.state == Starting {
		return st // the rest does not exist yet
	}
	st.TUN.Info = s.device.Info()
	st.Listen = s.udp[0].LocalAddr().String()
	st.Counters.addStruct(tunPrefix, s.device.Counters())
	for _, c := range s.udp {
		st.Counters.addStruct(udpPrefix, c.Counters())
	}
	st.Counters.addStruct(controlPrefix, s.listener.Counters())
	st.Counters.add(s.past)
	for _, c := range s.sessions {
		cs := c.status(s.udp)
		st.Counters.addStruct("", cs.Counters)
		st.Clients = append(st.Clients, cs)
	}
	slices.SortFunc(st.Clients, func(a, b ClientStatus) int { return cmp.Compare(a.Name, b.Name) })
	return st
}
