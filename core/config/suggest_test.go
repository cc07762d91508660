package config

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNearest(t *testing.T) {
	words := []string{"scheduler", "reorder", "mtu", "up"}
	for word, want := range map[string]string{
		"shceduler": "scheduler", "schedulers": "scheduler", "sheduler": "scheduler", "SCHEDULER": "",
		"reoder": "reorder", "mut": "mtu", "mtus": "mtu", "x": "", "": "", "listen": "",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	word := rapid.StringMatching(`[a-c]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		d := editDistance(a, b)
		if d != editDistance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) || d < max(len(a), len(b))-min(len(a), len(b)) {
			t.Errorf("%q to %q: %d", a, b, d)
		}
	})
}

func TestShow(t *testing.T) {
	for want, v := range map[string]any{
		`"a\nb"`:                              "a\nb",
		`[1, "x", [true]]`:                    []any{int64(1), "x", []any{true}},
		`{...}`:                               map[string]any{"a": 1},
		`"` + strings.Repeat("é", 56) + `...`: strings.Repeat("é", 100),
	} {
		if got := show(v); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
