package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Difference says in what another plan differs from this one, nil if they are
// of the same comparison. Shards of one comparison are the same to it.
func (p *Plan) Difference(other *Plan) []string {
	var all []string
	differ := func(what string, here, there any) {
		if a, b := fmt.Sprint(here), fmt.Sprint(there); a != b {
			all = append(all, fmt.Sprintf("%s: %s here, %s there", what, a, b))
		}
	}
	differ("the programs", p.Program, other.Program)
	differ("who impairs the links", p.Impair, other.Impair)
	differ("schedulers", strings.Join(p.Schedulers, ","), strings.Join(other.Schedulers, ","))
	differ("runs", p.Runs, other.Runs)
	differ("baselines", p.Baselines, other.Baselines)
	return append(all, p.casesDiffer(other)...)
}

// maxNamed bounds how many cases are named.
const maxNamed = 3

func (p *Plan) casesDiffer(other *Plan) []string {
	var here, there, changed []string
	theirs := byName(other.Cases)
	for name, c := range byName(p.Cases) {
		text, known := theirs[name]
		switch {
		case !known:
			here = append(here, name)
		case !bytes.Equal(c, text):
			changed = append(changed, name)
		}
		delete(theirs, name)
	}
	for name := range theirs {
		there = append(there, name)
	}
	var all []string
	for _, list := range []struct {
		what  string
		names []string
	}{{"only here", here}, {"only there", there}, {"changed", changed}} {
		if n := len(list.names); n > 0 {
			slices.Sort(list.names)
			more := ""
			if n > maxNamed {
				more = fmt.Sprintf(" and %d more", n-maxNamed)
			}
			all = append(all, fmt.Sprintf("scenarios %s: %s%s", list.what, strings.Join(list.names[:min(n, maxNamed)], ", "), more))
		}
	}
	return all
}

func byName(cases []Case) map[string][]byte {
	m := map[string][]byte{}
	for _, c := range cases {
		name := c.Scenario.Name
		if c.Point != "" {
			name += " at " + c.Point
		}
		m[name], _ = json.Marshal(c) // it came from JSON or goes there
	}
	return m
}
