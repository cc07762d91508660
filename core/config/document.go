package config

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// position is a place in a file, from 1; the zero value is no place.
type position struct{ line, column int }

// place says where a key and its value are.
type place struct{ key, value position }

// document is a TOML file as a tree, with the places of its keys by their full
// names: "tun.mtu", "clients[0].name", "dns.servers[1]".
type document struct {
	root   map[string]any
	places map[string]place
}

// parse reads TOML. The library's decoder knows the language and builds the
// tree; its parser is asked only for places.
func parse(file string, data []byte) (*document, error) {
	doc := &document{root: map[string]any{}, places: map[string]place{}}
	lines := newLineIndex(data)
	if err := toml.Unmarshal(data, &doc.root); err != nil {
		e := &Error{File: file, Problem: strings.TrimPrefix(err.Error(), "toml: ")}
		if d, ok := errors.AsType[*toml.DecodeError](err); ok {
			row, column := d.Position()
			pos := lines.at(lines.starts[min(row, len(lines.starts))-1] + column - 1)
			e.Line, e.Column = pos.line, pos.column
		}
		return nil, Errors{e}
	}
	w := placer{doc: doc, lines: lines, tables: map[string]int{}}
	w.parser.Reset(data)
	for w.parser.NextExpression() {
		w.expression(w.parser.Expression())
	}
	return doc, nil
}

// placer walks a file that is known to be valid and notes places.
type placer struct {
	parser unstable.Parser
	lines  *lineIndex
	doc    *document
	header string         // full name of the table that lines belong to
	tables map[string]int // number of [[tables]] so far, by name
}

func (w *placer) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table:
		w.header = w.headerName(n, false)
	case unstable.ArrayTable:
		w.header = w.headerName(n, true)
	case unstable.KeyValue:
		w.keyValue(w.header, n, position{})
	}
}

// headerName returns the full name of the table under a header and notes
// where it is.
func (w *placer) headerName(n *unstable.Node, array bool) string {
	name := ""
	for it := n.Key(); it.Next(); {
		key := it.Node()
		name = join(name, string(key.Data))
		if it.IsLast() && array {
			w.tables[name]++
		}
		w.note(name, w.keyPlace(key))
		if count := w.tables[name]; count > 0 {
			name = elem(name, count-1)
			w.note(name, w.keyPlace(key))
		}
	}
	return name
}

func (w *placer) keyValue(table string, n *unstable.Node, inside position) {
	name, end := table, 0
	p := place{key: inside, value: inside}
	for it := n.Key(); it.Next(); {
		key := it.Node()
		name = join(name, string(key.Data))
		p = w.keyPlace(key)
		end = int(key.Raw.Offset + key.Raw.Length)
		if !it.IsLast() {
			w.note(name, p)
		}
	}
	p.value = w.lines.at(w.valueOffset(end))
	w.note(name, p)
	w.inside(name, n.Value(), p.value)
}

// valueOffset returns where the value behind a key begins. Nodes of arrays and
// tables do not say themselves.
func (w *placer) valueOffset(end int) int {
	data := w.parser.Data()
	for end < len(data) && strings.ContainsRune(" \t=", rune(data[end])) {
		end++
	}
	return end
}

// inside notes the places of what a value holds.
func (w *placer) inside(name string, v *unstable.Node, at position) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			w.keyValue(name, it.Node(), at)
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); {
			n := it.Node()
			if n.Kind == unstable.Comment {
				continue
			}
			pos := at
			if n.Raw.Length > 0 {
				pos = w.lines.at(int(n.Raw.Offset))
			}
			w.note(elem(name, i), place{key: pos, value: pos})
			w.inside(elem(name, i), n, pos)
			i++
		}
	}
}

func (w *placer) keyPlace(key *unstable.Node) place {
	pos := w.lines.at(int(key.Raw.Offset))
	return place{key: pos, value: pos}
}

func (w *placer) note(name string, p place) {
	if _, known := w.doc.places[name]; !known {
		w.doc.places[name] = p
	}
}

// lineIndex finds lines by offset.
type lineIndex struct {
	data   []byte
	starts []int
}

func newLineIndex(data []byte) *lineIndex {
	l := &lineIndex{data: data, starts: []int{0}}
	for i, b := range data {
		if b == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

func (l *lineIndex) at(offset int) position {
	offset = min(offset, len(l.data))
	line := sort.SearchInts(l.starts, offset+1)
	return position{line: line, column: utf8.RuneCount(l.data[l.starts[line-1]:offset]) + 1}
}

// join returns the full name of a key in a table; the root's name is "".
func join(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}

// elem returns the name of an element of a list.
func elem(name string, i int) string { return fmt.Sprintf("%s[%d]", name, i) }
