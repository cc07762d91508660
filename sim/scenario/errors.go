package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong in a scenario, with its place. Line and
// Column count from 1; both are 0 where the fault is in an override, which
// File then names ("--set links.0.both.rate=fast").
type Error struct {
	File    string
	Line    int
	Column  int
	Message string
}

// Error returns "file:line:column: message".
func (e Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Errors is everything that is wrong in a scenario: overrides first, then by
// place in the file.
type Errors []Error

// Error returns one line for each fault.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the errors in the order they are printed in, each once:
// what `both` says is read for each direction, so its faults come twice.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(
			cmp.Compare(min(a.Line, 1), min(b.Line, 1)),
			strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
	seen := map[Error]bool{}
	return slices.DeleteFunc(e, func(x Error) bool {
		again := seen[x]
		seen[x] = true
		return again
	})
}

// KeyError says what is wrong with one key of the product's configuration.
// The injected checks return it, alone or joined (errors.Join), so that the
// fault is shown at that key's place in the scenario.
type KeyError struct {
	Key     string // dotted: "tun.mtu"
	Message string
}

// Error returns the message, which names the key itself.
func (e *KeyError) Error() string { return e.Message }
