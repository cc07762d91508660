package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in a configuration.
type Error struct {
	File         string // as it was given; "" for keys that come from elsewhere
	Line, Column int    // from 1, Column in characters; 0 where there is no place
	Key          string // full name, such as "tun.mtu" or "clients[0].name"
	Value        string // as in the file, shortened; "" where it does not matter or is secret
	Problem      string // what is wrong; "" where Want says it all
	Want         string // what would be right
}

// Error returns the mistake in one line:
//
//	client.toml:9:12: tun.mtu = 20: must be 1280..1404
func (e *Error) Error() string {
	var parts []string
	if place := e.place(); place != "" {
		parts = append(parts, place)
	}
	if e.Value != "" {
		parts = append(parts, e.Key+" = "+e.Value)
	}
	for _, s := range []string{e.Problem, e.Want} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

func (e *Error) place() string {
	switch {
	case e.Line > 0 && e.File != "":
		return fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
	case e.Line > 0:
		return fmt.Sprintf("%d:%d", e.Line, e.Column)
	}
	return e.File
}

// Errors are all mistakes of one configuration, in the order of the file;
// those without a place, such as a missing key, come last. It is never empty.
type Errors []*Error

// Error returns one line for each.
func (list Errors) Error() string {
	lines := make([]string, len(list))
	for i, e := range list {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find each [*Error].
func (list Errors) Unwrap() []error {
	errs := make([]error, len(list))
	for i, e := range list {
		errs[i] = e
	}
	return errs
}

// sort puts the errors in order.
func (list Errors) sort() {
	slices.SortStableFunc(list, func(a, b *Error) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
}

// Warning is something in a valid configuration that its owner should know.
type Warning struct {
	File    string
	Message string
}

// String returns it in one line.
func (w Warning) String() string { return w.File + ": " + w.Message }
