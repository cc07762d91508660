package config

import (
	"fmt"
	"strings"
)

// maxShown is how much of a value an error repeats, in characters.
const maxShown = 60

// show writes a value as it would stand in the file, shortened.
func show(v any) string {
	s := ""
	switch v := v.(type) {
	case string:
		s = quote(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = show(e)
		}
		s = "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		return "{...}"
	default:
		s = fmt.Sprint(v)
	}
	if r := []rune(s); len(r) > maxShown {
		s = string(r[:maxShown-3]) + "..."
	}
	return s
}

func quote(s string) string { return fmt.Sprintf("%q", s) }

// nearest returns the candidate that a misspelt word was probably meant to be,
// "" if none is close enough: one mistake in three characters. A word of one
// character is not a misspelling of anything.
func nearest(word string, candidates []string) string {
	if len(word) < 2 {
		return ""
	}
	best, distance := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if d := editDistance(word, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that make b of a (optimal string alignment).
func editDistance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
