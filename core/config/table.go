package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// decoder reads a document into structs and collects what is wrong with it.
type decoder struct {
	file    string
	doc     *document
	partial bool // required keys may be missing
	other   role // whose keys this file may have by mistake
	tables  map[string]*table
	order   []*table
	errs    Errors
	notes   []Warning
}

// role is the one of the two ends that a document is not for.
type role struct {
	name   string
	decode func(*table) // asks for all its keys
}

// table is a table of the document, or one that is not in it.
type table struct {
	d       *decoder
	path    string
	values  map[string]any
	known   []string
	secrets []string
}

func newDecoder(file string, doc *document, partial bool) *decoder {
	return &decoder{file: file, doc: doc, partial: partial, tables: map[string]*table{}}
}

func (d *decoder) root() *table { return d.open("", d.doc.root) }

func (d *decoder) open(path string, values map[string]any) *table {
	if t := d.tables[path]; t != nil {
		return t
	}
	t := &table{d: d, path: path, values: values}
	d.tables[path] = t
	d.order = append(d.order, t)
	return t
}

// finish reports the keys that nobody asked for, and returns all errors.
func (d *decoder) finish() error {
	for _, t := range d.order {
		for key := range t.values {
			if !slices.Contains(t.known, key) {
				d.unknown(t, key)
			}
		}
	}
	if len(d.errs) == 0 {
		return nil
	}
	d.errs.sort()
	return d.errs
}

func (d *decoder) warn(text string) {
	d.notes = append(d.notes, Warning{File: d.file, Message: text})
}

func (d *decoder) unknown(t *table, key string) {
	full := join(t.path, key)
	pos := d.doc.places[full].key
	d.errs = append(d.errs, &Error{
		File: d.file, Line: pos.line, Column: pos.column, Key: full,
		Problem: fmt.Sprintf("unknown key %q", full), Want: d.hint(t, key),
	})
}

// hint says what an unknown key was probably meant to be.
func (d *decoder) hint(t *table, key string) string {
	for _, other := range d.order {
		if other == t || !slices.Contains(other.known, key) {
			continue
		}
		if other.path == "" {
			return fmt.Sprintf("%q belongs at the top of the file, above the first [table]", key)
		}
		return fmt.Sprintf("did you mean %q?", join(other.path, key))
	}
	if t.path == "" && d.other.knows(key) {
		return fmt.Sprintf("a %s has it: this is read as the configuration of the other end", d.other.name)
	}
	if near := nearest(key, t.known); near != "" {
		return fmt.Sprintf("did you mean %q?", join(t.path, near))
	}
	return "known here: " + strings.Join(slices.Sorted(slices.Values(t.known)), ", ")
}

// knows says whether the role has a key at the top of its file.
func (r role) knows(key string) bool {
	if r.decode == nil {
		return false
	}
	root := newDecoder("", &document{}, true).root()
	r.decode(root)
	return slices.Contains(root.known, key)
}

// ask notes that a key is known.
func (t *table) ask(key string) (v any, ok bool) {
	if !slices.Contains(t.known, key) {
		t.known = append(t.known, key)
	}
	v, ok = t.values[key]
	return v, ok
}

// secret makes errors not show the value of a key.
func (t *table) secret(key string) { t.secrets = append(t.secrets, key) }

// table returns the table of a key, an empty one if it is missing.
func (t *table) table(key string) *table {
	v, ok := t.ask(key)
	values, isTable := v.(map[string]any)
	if ok && !isTable {
		if t.d.tables[join(t.path, key)] == nil {
			t.fail(key, show(v), "", fmt.Sprintf("must be a table: [%s] with its keys below", join(t.path, key)))
		}
	}
	return t.d.open(join(t.path, key), values)
}

// tables returns the tables of a key that stands for several.
func (t *table) tables(key string) []*table {
	v, ok := t.ask(key)
	if !ok {
		return nil
	}
	elements, isList := v.([]any)
	var all []*table
	for i, e := range elements {
		values, isTable := e.(map[string]any)
		isList = isList && isTable
		all = append(all, t.d.open(join(t.path, elem(key, i)), values))
	}
	if !isList {
		t.fail(key, show(v), "", fmt.Sprintf("must be a list of tables: [[%s]] with its keys below, once for each", join(t.path, key)))
		return nil
	}
	return all
}

// fail reports the value of a key.
func (t *table) fail(key, value, problem, want string) {
	full := join(t.path, key)
	pos := t.d.doc.places[full].value
	t.d.errs = append(t.d.errs, &Error{
		File: t.d.file, Line: pos.line, Column: pos.column,
		Key: full, Value: value, Problem: problem, Want: want,
	})
}

// missing reports a key that is not there, at the head of its table.
func (t *table) missing(key, want string) {
	full := join(t.path, key)
	pos := t.d.doc.places[t.path].key
	t.d.errs = append(t.d.errs, &Error{
		File: t.d.file, Line: pos.line, Column: pos.column,
		Key: full, Problem: full + " is missing", Want: "add " + want,
	})
}

// get returns the value of a key as parse reads it. A missing key gives def, as
// does a wrong value, which is reported; the error of parse says what would be
// right.
func get[T any](t *table, key string, def T, parse func(any) (T, error)) T {
	v, ok := t.ask(key)
	if !ok {
		return def
	}
	x, err := parse(v)
	if err == nil {
		return x
	}
	if elements, ok := errors.AsType[elementErrors](err); ok {
		for _, e := range elements {
			t.fail(elem(key, e.index), show(e.value), "", e.err.Error())
		}
		return def
	}
	if slices.Contains(t.secrets, key) {
		t.fail(key, "", join(t.path, key), err.Error())
	} else {
		t.fail(key, show(v), "", err.Error())
	}
	return def
}

// required is get for a key that must be there; example shows how.
func required[T any](t *table, key, example string, parse func(any) (T, error)) T {
	var zero T
	if _, ok := t.ask(key); !ok && !t.d.partial {
		t.missing(key, example)
	}
	return get(t, key, zero, parse)
}

// elementErrors are what is wrong with the elements of a list.
type elementErrors []elementError

type elementError struct {
	index int
	value any
	err   error
}

func (e elementErrors) Error() string { return e[0].err.Error() }
