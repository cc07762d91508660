package virtual

import "testing"

// TestQualities: the rules reach both ends in the mode queue, the client alone
// in the mode window or where the server refuses, and neither when off.
func TestQualities(t *testing.T) {
	rules := []any{map[string]any{"port": float64(443), "priority": float64(1)}}
	for _, c := range []struct {
		mode           any
		allow          bool
		client, server int
		window         bool
	}{
		{nil, true, 1, 1, false},
		{"queue", true, 1, 1, false},
		{"queue", false, 1, 0, true},
		{"window", true, 1, 0, true},
		{"off", true, 0, 0, false},
	} {
		keys := map[string]any{"qos": map[string]any{"mode": c.mode, "rule": rules}}
		up, down, err := qualities(keys, map[string]any{"qos": map[string]any{"allow": c.allow}})
		if err != nil || len(up.Rules) != c.client || len(down.Rules) != c.server || up.Window != c.window {
			t.Errorf("%v, allow %v: %v, %v, %v", c.mode, c.allow, up, down, err)
		}
	}
	if _, _, err := qualities(map[string]any{"qos": map[string]any{"rule": []any{map[string]any{"port": 1}}}}, nil); err == nil {
		t.Error("a rule that gives nothing is taken")
	}
}
