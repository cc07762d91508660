package config_test

import (
	"testing"

	"github.com/multilink-vpn/multilink/core/config"
)

func TestLinkMistakes(t *testing.T) {
	checkMistakes(t, []mistake{
		{"link without a name", "[[links]]\nrole = \"off\"", `4:3: links[0].name is missing: add name = "wwan*" with the name or a pattern of interfaces`},
		{"role of a link", "[[links]]\nname = \"a\"\nrole = \"spare\"", `6:8: links[0].role = "spare": must be one of active, backup, off`},
		{"cap without a unit", "[[links]]\nname = \"a\"\ncap_up = 5", `6:10: links[0].cap_up = 5: must be a rate from 16 kbit/s on, such as "20 Mbit/s" (bit/s, kbit/s, Mbit/s, Gbit/s), or "none"`},
		{"cap of nothing", "[[links]]\nname = \"a\"\ncap_down = \"0 bit/s\"", `6:12: links[0].cap_down = "0 bit/s": must be a rate from 16 kbit/s on`},
		{"loss over all", "[[links]]\nname = \"a\"\nmax_loss = \"101 %\"", `6:12: links[0].max_loss = "101 %": must be a share from 0.1 % to 100 %`},
		{"round trip of an hour", "[[links]]\nname = \"a\"\nmax_rtt = \"1h\"", `6:11: links[0].max_rtt = "1h": must be a time from 1ms to 1m0s, such as "300ms", or "none"`},
		{"quota of nothing", "[[links]]\nname = \"a\"\nquota = \"1 kB\"", `6:9: links[0].quota = "1 kB": must be an amount of data from 1 MB on`},
		{"day of a month", "[[links]]\nname = \"a\"\nquota = \"1 GB\"\nreset_day = 32", `7:13: links[0].reset_day = 32: must be 1..31`},
		{"link that another entry has", "[[links]]\nname = \"w*\"\n[[links]]\nname = \"wlan0\"", `7:8: links[1].name = "wlan0": has no effect: an earlier entry matches it, "w*", and the first counts`},
		{"day of no quota", "[[links]]\nname = \"a\"\nreset_day = 15", `6:13: links[0].reset_day = 15: has no meaning without a quota: add one, such as quota = "10 GB", or remove reset_day`},
		{"role after no quota", "[[links]]\nname = \"a\"\nquota = \"1 GB\"\n[[links]]\nname = \"b\"\nat_quota = \"backup\"", `9:12: links[1].at_quota = "backup": has no meaning without a quota: add one, such as quota = "10 GB", or remove at_quota`},
	})
}

// TestQuotaTakenAway: for a while, without the rest being lost.
func TestQuotaTakenAway(t *testing.T) {
	c, _, err := config.ParseClient("c", []byte(clientHead+"[[links]]\nname = \"a\"\nquota = \"none\"\nreset_day = 15\nat_quota = \"backup\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p := c.PolicyOf("a"); p.Quota != 0 || p.ResetDay != 15 || p.AtQuota != config.RoleBackup {
		t.Errorf("got %+v", p)
	}
}
