// Package virtual runs scenarios in virtual time: the product's own sessions
// (package core/session), the testbed's link models (package sim/link) and real
// TCP stacks (gVisor's netstack), driven by one loop that jumps from event to
// event. The same scenario and seed give the same packets, bit for bit, many
// times faster than they would pass in reality.
//
//	client host ── client session ══ link models ══ server session ── hosts 1, 2
//
// What is the product's own: scheduling, rate control, resequencing,
// retransmission, path validation, sealing. What is simulated: the links, the
// inner hosts, the traffic. What is left out:
//
//   - the control connections: a link comes up two round trips after it is
//     plugged in (later while it is a black hole), and the server takes it out
//     one round trip after the client lost it;
//   - roles, caps and quotas of links;
//   - devices, routes, masquerading and name resolution: hosts see the client's
//     tunnel address;
//   - NAT and addresses for traffic past the tunnel, which readdress and rebind
//     do not touch;
//   - processing time: a packet passes a session in no time;
//   - congestion control other than gVisor's CUBIC and Reno (of which its Reno
//     is weaker than Linux's), and MPTCP. gVisor acknowledges every segment
//     where Linux does every second, so the way back carries more.
//
// So virtual time is for development, regression and ranking; figures to be
// published come from the netns backend.
//
// # Determinism
//
// gVisor works in goroutines. They are kept in step by running everything on
// one processor and yielding until they have nothing left to do after each
// event (steady.go says how): a process that calls New must have set
// runtime.GOMAXPROCS(1) before. Exec takes care of that by running a simulation
// in a process of its own.
//
// The files: simulation.go is what all is part of, loop.go goes from event to
// event, clock.go has the time, stage.go and link.go the links, end.go the two
// ends of the tunnel; machine.go and socket.go are the hosts with their TCP,
// topology.go says how they are connected; traffic.go with bulk.go,
// datagrams.go, phones.go, echo.go, web.go and names.go makes the traffic;
// run.go runs a scenario and exec.go does so in a process of its own.
package virtual
