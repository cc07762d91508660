package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/engine"
	"github.com/multilink-vpn/multilink/core/session"
)

func TestFlowsText(t *testing.T) {
	flow := func(class string, rate float64) session.Flow {
		return session.Flow{
			Protocol: "udp", Local: netip.MustParseAddrPort("10.8.0.2:4000"), Remote: netip.MustParseAddrPort("[2001:db8::1]:5000"),
			Class: class, Why: "reason of " + class, Links: []string{"wlan0"}, Sent: session.FlowHalf{Rate: rate},
		}
	}
	call := flow(session.ClassCall, 80e3)
	call.Evidence, call.Links = "STUN", []string{"wlan0", "wwan0"}
	var text strings.Builder
	err := flowsText(&text, engine.FlowsAnswer{Sessions: []engine.SessionFlows{{
		Client: "laptop", Classifier: "rtp",
		Flows: []session.Flow{flow(session.ClassOther, 1e3), flow(session.ClassOther, 2e9), call},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	for i, want := range [][]string{
		{"client: laptop"}, {"3 flows, classifier rtp"}, {"CLASS", "FLOW", "WHY"},
		{"call ", "udp 10.8.0.2:4000 - [2001:db8::1]:5000", "80 kbit/s", "wlan0+wwan0", "reason of call (STUN)"},
		{"other", "2.00 Gbit/s"}, {"other", "1 kbit/s"},
	} {
		for _, w := range want {
			if !strings.Contains(lines[i], w) {
				t.Errorf("line %d has no %q: %s", i, w, lines[i])
			}
		}
	}
}
