package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// decoder turns the tree into a Scenario. It goes on after a fault, so that
// one check shows all of them.
type decoder struct {
	opts Options
	dir  string // traces are relative to it
	errs Errors
}

func (d *decoder) errorf(p position, format string, args ...any) {
	d.errs = append(d.errs, Error{File: p.file, Line: p.line, Column: p.column, Message: fmt.Sprintf(format, args...)})
}

// bad reports a value that its key cannot have.
func (d *decoder) bad(n *node, format string, args ...any) {
	d.errorf(n.pos, "%s = %s: %s", n.key, n.shown(), fmt.Sprintf(format, args...))
}

// shown is the value as messages show it.
func (n *node) shown() string {
	switch {
	case n.kind == mappingNode:
		return "{...}"
	case n.kind == sequenceNode:
		return "[...]"
	case n.isNull():
		return "null"
	}
	if _, ok := n.value.(string); !ok {
		return n.text
	}
	return fmt.Sprintf("%q", clip(n.text, 60))
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// setter decodes the value of one key. It is not called for null.
type setter func(*node)

// mapping calls the setter of each key, and refuses keys without one.
func (d *decoder) mapping(n *node, what string, keys map[string]setter) bool {
	if n.kind != mappingNode {
		d.errorf(n.pos, "%s must be a mapping, such as {%s: ...}", what, slices.Min(slices.Collect(maps.Keys(keys))))
		return false
	}
	for _, e := range n.entries {
		set, ok := keys[e.key]
		if !ok {
			d.errorf(e.pos, "unknown key %q in %s: %s", e.key, what, suggest(e.key, slices.Sorted(maps.Keys(keys))))
			continue
		}
		if !e.value.isNull() {
			set(e.value)
		}
	}
	return true
}

// list calls one for each item of a sequence.
func (d *decoder) list(n *node, one setter) {
	if n.kind != sequenceNode {
		d.bad(n, "must be a list")
		return
	}
	for _, item := range n.items {
		if item.isNull() {
			d.errorf(item.pos, "an empty entry in %s", n.key)
			continue
		}
		one(item)
	}
}

// required reports keys that are missing.
func (d *decoder) required(n *node, what string, keys ...string) bool {
	ok := true
	for _, key := range keys {
		if n.get(key) == nil {
			d.errorf(n.pos, "%s needs %q", what, key)
			ok = false
		}
	}
	return ok
}

// scalar reports whether a value is one, else what it must be.
func (d *decoder) scalar(n *node, want string) bool {
	if n.kind != scalarNode || n.isNull() {
		d.bad(n, "%s", want)
		return false
	}
	return true
}

// parsed decodes a scalar by one of the parsers of units.
func parsed[T any](d *decoder, dst *T, parse func(string) (T, error)) setter {
	return func(n *node) {
		if !d.scalar(n, "must be a single value") {
			return
		}
		v, err := parse(n.text)
		if err != nil {
			d.bad(n, "%s", err)
			return
		}
		*dst = v
	}
}

func (d *decoder) duration(dst *time.Duration) setter { return parsed(d, dst, parseTime) }

func (d *decoder) text(dst *string) setter {
	return func(n *node) {
		if d.scalar(n, "must be text") {
			*dst = n.text
		}
	}
}

func (d *decoder) boolean(dst *bool) setter {
	return func(n *node) {
		v, ok := n.value.(bool)
		if !ok {
			d.bad(n, "must be true or false")
			return
		}
		*dst = v
	}
}

func (d *decoder) integer(dst *int, low, high int) setter {
	return func(n *node) {
		var v int64
		switch x := n.value.(type) {
		case int64:
			v = x
		case uint64:
			v = int64(min(x, 1<<62))
		default:
			d.bad(n, "must be a whole number from %d to %d", low, high)
			return
		}
		if v < int64(low) || v > int64(high) {
			d.bad(n, "must be from %d to %d", low, high)
			return
		}
		*dst = int(v)
	}
}

// choice accepts one of some words.
func (d *decoder) choice(dst *string, words ...string) setter {
	return func(n *node) {
		if !d.scalar(n, "must be one of "+strings.Join(words, ", ")) {
			return
		}
		if !slices.Contains(words, n.text) {
			d.bad(n, "must be one of %s", strings.Join(words, ", "))
			return
		}
		*dst = n.text
	}
}

// config decodes configuration keys of the product, unchecked.
func (d *decoder) config(dst *map[string]any) setter {
	return func(n *node) {
		m, ok := n.plainValue().(map[string]any)
		if !ok {
			d.bad(n, "must be a mapping of configuration keys")
			return
		}
		*dst = m
	}
}
