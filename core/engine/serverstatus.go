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
	st.Listen = s.udp.LocalAddr().String()
	st.Counters.addStruct(tunPrefix, s.device.Counters())
	st.Counters.addStruct(udpPrefix, s.udp.Counters())
	st.Counters.addStruct(controlPrefix, s.listener.Counters())
	st.Counters.add(s.past)
	info := s.udp.Info()
	for _, c := range s.sessions {
		cs := c.status(info)
		st.Counters.addStruct("", cs.Counters)
		st.Clients = append(st.Clients, cs)
	}
	slices.SortFunc(st.Clients, func(a, b ClientStatus) int { return cmp.Compare(a.Name, b.Name) })
	return st
}
