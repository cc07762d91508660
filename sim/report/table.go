package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteText writes a result for people: the verdict, each expectation with the
// values of its sides, and what each traffic and link measured.
func WriteText(w io.Writer, r *Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	where := r.Backend
	if r.Impair != "" {
		where += "/" + r.Impair
	}
	fmt.Fprintf(w, "%s: %s (%s, seed %d, %.1f s)\n", r.Scenario, strings.ToUpper(string(r.Verdict)), where, r.Seed, r.Seconds)
	if r.Reason != "" {
		fmt.Fprintf(w, "  %s\n", r.Reason)
	}
	for _, e := range r.Expectations {
		mark := "ok"
		if !e.OK {
			mark = "FAILED"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", mark, e.Expr, e.Sides())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Measurements)) {
		group, ok := r.Measurements[name].(map[string]any)
		switch {
		case !ok || slices.Contains([]string{"client", "server", "alone", "bare", "capacity"}, name):
		case name == "link":
			for _, link := range slices.Sorted(maps.Keys(group)) {
				writeGroup(t, "link "+link, group[link])
			}
		default:
			writeGroup(t, name, group)
		}
	}
	return t.Flush()
}

// WriteSummary writes one line for each of several results.
func WriteSummary(w io.Writer, results []*Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range results {
		held := 0
		for _, e := range r.Expectations {
			if e.OK {
				held++
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%d of %d held\t%.1f s\t%s\n", r.Verdict, r.Scenario, held, len(r.Expectations), r.Seconds, r.Reason)
	}
	return t.Flush()
}

// Sides are the values of the two sides of the comparison, or why there are
// none.
func (e Expectation) Sides() string {
	if e.Error != "" {
		return e.Error
	}
	if e.Left == nil && e.Right == nil {
		return ""
	}
	return fmt.Sprintf("%s against %s", scaled(e.Left), scaled(e.Right))
}

// writeGroup writes the measurements of a traffic or a link: those of its
// directions on a line each.
func writeGroup(w io.Writer, name string, v any) {
	values := map[string]any{}
	group, _ := v.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(group)) {
		if m, ok := group[key].(map[string]any); ok && (key == "down" || key == "up") {
			writeGroup(w, name+" "+key, m)
			continue
		}
		flattenInto(values, key, group[key])
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, key+" "+withUnit(key, values[key]))
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "  %s\t%s\n", name, strings.Join(parts, ", "))
	}
}

func flattenInto(values map[string]any, key string, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		values[key] = v
		return
	}
	for k, v := range m {
		flattenInto(values, key+"."+k, v)
	}
}

// withUnit shows a measurement in the unit that its name implies.
func withUnit(name string, v any) string {
	n, ok := Number(v)
	switch {
	case !ok:
		return fmt.Sprint(v)
	case math.IsNaN(n):
		return "-"
	}
	switch group, _, _ := strings.Cut(name, "."); group {
	case "goodput":
		return prefixed(n, "bit/s")
	case "bytes", "queued_max":
		return prefixed(n, "B")
	case "stall", "fct", "rtt", "delay", "jitter":
		if n >= 1 {
			return fmt.Sprintf("%.2f s", n)
		}
		return fmt.Sprintf("%.1f ms", n*1e3)
	case "loss", "late", "reordered", "spurious":
		return fmt.Sprintf("%.2f %%", n*100)
	}
	return scaled(n)
}

// scaled shows a value with four digits and a prefix of SI.
func scaled(v any) string {
	n, ok := Number(v)
	switch {
	case !ok || math.IsInf(n, 0):
		return fmt.Sprint(v)
	case n >= 1e9:
		return fmt.Sprintf("%.4gG", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.4gM", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.4gk", n/1e3)
	}
	return fmt.Sprintf("%.4g", n)
}

// prefixed is scaled with a unit: "66.1 Mbit/s".
func prefixed(n float64, unit string) string {
	s := scaled(n)
	if last := len(s) - 1; strings.ContainsAny(s[last:], "GMk") {
		return s[:last] + " " + s[last:] + unit
	}
	return s + " " + unit
}
