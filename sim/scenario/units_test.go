package scenario

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// check compares a parser with a table; a nil value is an error.
func check[T comparable](t *testing.T, parse func(string) (T, error), table map[string]any) {
	t.Helper()
	for text, want := range table {
		got, err := parse(text)
		switch {
		case want == nil && err == nil:
			t.Errorf("%q: got %v, want an error", text, got)
		case want != nil && (err != nil || any(got) != want):
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestUnits(t *testing.T) {
	check(t, parseRate, map[string]any{
		"50mbit": 50e6, "800kbit": 800e3, "1.5gbit": 1.5e9, "1000": 1000.0, "64bit": 64.0, "50 Mbit": 50e6, "1e6": 1e6,
		"": nil, "mbit": nil, "-1mbit": nil, "0": nil, "0mbit": nil, "inf": nil, "nan": nil, "0x10": nil, "50mbps": nil, "101gbit": nil,
	})
	check(t, parseTime, map[string]any{
		"10ms": 10 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "300us": 300 * time.Microsecond,
		"300µs": 300 * time.Microsecond, "0": time.Duration(0), "0s": time.Duration(0), "1m30s": 90 * time.Second, "2 ms": 2 * time.Millisecond,
		"": nil, "10": nil, "-1s": nil, "s": nil, "1d": nil, "25h": nil, "1s-2s": nil,
	})
	check(t, parseShare, map[string]any{
		"0.5%": 0.005, "100%": 1.0, "0": 0.0, "0%": 0.0, "5 %": 0.05,
		"": nil, "0.5": nil, "101%": nil, "-1%": nil, "%": nil, "1%%": nil,
	})
	check(t, parseSize, map[string]any{
		"1500": int64(1500), "1500B": int64(1500), "64KiB": int64(65536), "64kb": int64(64000), "1.5MiB": int64(3 << 19), "2GB": int64(2e9),
		"": nil, "0": nil, "2TB": nil, "-1B": nil, "KiB": nil, "1e18GB": nil,
	})
	check(t, parseQueue, map[string]any{
		"100ms": Queue{Time: 100 * time.Millisecond}, "64KiB": Queue{Bytes: 65536}, "100p": Queue{Packets: 100}, "1500B": Queue{Bytes: 1500},
		"": nil, "100": nil, "0p": nil, "1.5p": nil, "0s": nil, "2m": nil, "2GiB": nil, "5x": nil,
	})
}

// TestUnitsRoundTrip: what is written in a unit is read back.
func TestUnitsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(maxTime)).Draw(t, "time"))
		if got, err := parseTime(d.String()); err != nil || got != d {
			t.Errorf("%s: got %s, %v", d, got, err)
		}
	})
}

func TestSuggest(t *testing.T) {
	for _, c := range []struct{ word, want string }{
		{"dealy", `did you mean "delay"?`},
		{"Rate", `did you mean "rate"?`},
		{"colour", "known: rate, delay"},
	} {
		if got := suggest(c.word, []string{"rate", "delay"}); got != c.want {
			t.Errorf("%s: got %s, want %s", c.word, got, c.want)
		}
	}
	if got := suggest("x", nil); got != "there is none" {
		t.Error(got)
	}
}
