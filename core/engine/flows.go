package engine

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/multilink-vpn/multilink/core/session"
)

// FlowsAnswer is what the command "flows" answers: the inner flows of each
// session, in the form of `multilink flows --json`.
type FlowsAnswer struct {
	Role     string         `json:"role"` // "client" or "server"
	Sessions []SessionFlows `json:"sessions"`
}

// SessionFlows are the flows of one session.
type SessionFlows struct {
	Client     string         `json:"client,omitempty"` // its name at the server
	Classifier string         `json:"classifier"`
	Flows      []session.Flow `json:"flows"`
}

// FlowsArguments are those of the command "flows".
type FlowsArguments struct {
	Client string `json:"client,omitempty"` // of a server: this one only
}

// Flows tells what the client believes of the flows in its tunnel.
func (c *Client) Flows(args FlowsArguments) (FlowsAnswer, error) {
	if args.Client != "" {
		return FlowsAnswer{}, fmt.Errorf("no choice of client %q: this is a client itself", args.Client)
	}
	a := FlowsAnswer{Role: roleClient, Sessions: []SessionFlows{}}
	if s := c.current.Load(); s != nil {
		a.Sessions = append(a.Sessions, s.driver.Flows())
	}
	return a, nil
}

// Flows tells what the server believes of its clients' flows.
func (s *Server) Flows(args FlowsArguments) (FlowsAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := FlowsAnswer{Role: roleServer, Sessions: []SessionFlows{}}
	for _, c := range s.sessions {
		if args.Client != "" && args.Client != c.name {
			continue
		}
		f := c.driver.Flows()
		f.Client = c.name
		a.Sessions = append(a.Sessions, f)
	}
	slices.SortFunc(a.Sessions, func(a, b SessionFlows) int { return cmp.Compare(a.Client, b.Client) })
	if args.Client != "" && len(a.Sessions) == 0 {
		return a, fmt.Errorf("no client %q has a session", args.Client)
	}
	return a, nil
}

// Flows tells what the session believes of its flows.
func (d *driver) Flows() SessionFlows {
	d.mu.Lock()
	defer d.mu.Unlock()
	return SessionFlows{Classifier: d.session.Classifier(), Flows: d.session.Flows(d.clock.Now())}
}
