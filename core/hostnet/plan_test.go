package hostnet

import (
	"net/netip"
	"testing"
)

func TestClientPlanValidate(t *testing.T) {
	good := ClientPlan{
		TUN: "ml0", MTU: 1420, Addresses: prefixes("10.8.0.2/24", "fd00:8::2/64"), Mark: 1, Table: 1, Priority: 1, Default: true,
		Exclude: prefixes("192.0.2.0/24"), DNS: addrs("10.8.0.1"), Links: []string{"eth0"},
	}
	must(t, good.validate())
	tests := []struct {
		name   string
		change func(*ClientPlan)
		names  string
	}{
		{"no device", func(p *ClientPlan) { p.TUN = "" }, `""`},
		{"small MTU", func(p *ClientPlan) { p.MTU = 1279 }, "1279"},
		{"large MTU", func(p *ClientPlan) { p.MTU = 65536 }, "65536"},
		{"no address", func(p *ClientPlan) { p.Addresses = nil }, "address"},
		{"invalid address", func(p *ClientPlan) { p.Addresses = []netip.Prefix{{}} }, "invalid"},
		{"mapped address", func(p *ClientPlan) { p.Addresses = prefixes("::ffff:10.0.0.1/120") }, "::ffff:10.0.0.1/120"},
		{"address of everything", func(p *ClientPlan) { p.Addresses = prefixes("10.0.0.1/0") }, "10.0.0.1/0"},
		{"no mark", func(p *ClientPlan) { p.Mark = 0 }, "mark is 0"},
		{"no table", func(p *ClientPlan) { p.Table = 0 }, "table 0"},
		{"main table", func(p *ClientPlan) { p.Table = 254 }, "254"},
		{"no priority", func(p *ClientPlan) { p.Priority = 0 }, "number 0"},
		{"priority behind main", func(p *ClientPlan) { p.Priority = 32764 }, "32764"},
		{"default and include", func(p *ClientPlan) { p.Include = prefixes("192.0.2.0/24") }, "192.0.2.0/24"},
		{"host bits", func(p *ClientPlan) { p.Exclude = prefixes("192.0.2.1/24") }, "want 192.0.2.0/24"},
		{"name server with a zone", func(p *ClientPlan) { p.DNS = addrs("fe80::1%eth0") }, "fe80::1%eth0"},
		{"the device as link", func(p *ClientPlan) { p.Links = []string{"ml0"} }, "ml0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan := good
			test.change(&plan)
			wantError(t, plan.validate(), ErrPlan, test.names)
		})
	}
}

func TestServerPlanValidate(t *testing.T) {
	good := ServerPlan{TUN: "ml0", MTU: 1420, Addresses: prefixes("10.8.0.1/24"), Masquerade: prefixes("10.8.0.0/24"), Uplink: "eth0"}
	must(t, good.validate())
	bad := good
	bad.Masquerade = prefixes("10.8.0.1/24")
	wantError(t, bad.validate(), ErrPlan, "want 10.8.0.0/24")
	bad = good
	bad.Uplink = "ml0"
	wantError(t, bad.validate(), ErrPlan, "ml0")
	bad = good
	bad.TUN = "a/b"
	wantError(t, bad.validate(), ErrPlan, "a/b")
}
