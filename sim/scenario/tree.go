package scenario

import (
	"errors"
	"fmt"
	"strings"

	yaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// position is where a value stands: a place in a file, or an override.
type position struct {
	file         string
	line, column int
}

type nodeKind int

const (
	scalarNode nodeKind = iota
	mappingNode
	sequenceNode
)

// node is one value of a scenario. The tree of them stands between YAML and
// the decoder: overrides and `both` are merged in it, and every value keeps
// the place it came from.
type node struct {
	kind nodeKind
	pos  position
	key  string // the key it stands under, for messages
	// text is a scalar as written, without quotes; value is what YAML takes
	// it for: nil, bool, int64, uint64, float64 or string.
	text  string
	value any
	plain bool // the text stands at pos letter by letter
	// entries are the pairs of a mapping, in order; items the values of a
	// sequence.
	entries []entry
	items   []*node
}

type entry struct {
	key   string
	pos   position
	value *node
}

func (n *node) isNull() bool { return n == nil || n.kind == scalarNode && n.value == nil }

// get returns the value of a key that is there and not null.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, e := range n.entries {
		if e.key == key && !e.value.isNull() {
			return e.value
		}
	}
	return nil
}

// find follows a dotted path as far as it leads.
func (n *node) find(path string) *node {
	key, rest, more := strings.Cut(path, ".")
	next := n.get(key)
	switch {
	case next == nil:
		return n
	case more:
		return next.find(rest)
	}
	return next
}

// put sets a key, in its place where it was there already.
func (n *node) put(e entry) {
	for i := range n.entries {
		if n.entries[i].key == e.key {
			n.entries[i] = e
			return
		}
	}
	n.entries = append(n.entries, e)
}

func (n *node) remove(key string) {
	kept := n.entries[:0]
	for _, e := range n.entries {
		if e.key != key {
			kept = append(kept, e)
		}
	}
	n.entries = kept
}

// overlay returns the keys of base and top in one mapping; where both have
// one, top's counts. Either may be nil; neither is changed.
func overlay(base, top *node) *node {
	switch {
	case base.isNull():
		return top
	case top.isNull():
		return base
	}
	merged := &node{kind: mappingNode, pos: top.pos, key: top.key}
	merged.entries = append(merged.entries, base.entries...)
	for _, e := range top.entries {
		if !e.value.isNull() {
			merged.put(e)
		}
	}
	return merged
}

// plainValue is the node as nested maps, slices and scalars. A key that is
// null is as if it were not there.
func (n *node) plainValue() any {
	switch n.kind {
	case mappingNode:
		m := make(map[string]any, len(n.entries))
		for _, e := range n.entries {
			if !e.value.isNull() {
				m[e.key] = e.value.plainValue()
			}
		}
		return m
	case sequenceNode:
		s := make([]any, len(n.items))
		for i, item := range n.items {
			s[i] = item.plainValue()
		}
		return s
	default:
		return n.value
	}
}

// parseTree reads one YAML document. Places are in file; a nil tree with no
// error is an empty document.
func parseTree(file string, data []byte) (*node, error) {
	doc, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, syntaxError(file, err)
	}
	if len(doc.Docs) > 1 && doc.Docs[1].Body != nil {
		return nil, treeError(at(file, doc.Docs[1].Body), "a second document: a file holds one scenario")
	}
	if len(doc.Docs) == 0 || doc.Docs[0].Body == nil {
		return nil, nil
	}
	return convert(file, "", doc.Docs[0].Body)
}

func treeError(p position, format string, args ...any) error {
	return Error{File: p.file, Line: p.line, Column: p.column, Message: fmt.Sprintf(format, args...)}
}

func syntaxError(file string, err error) error {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) && syntax.GetToken() != nil {
		p := syntax.GetToken().Position
		return treeError(position{file, p.Line, p.Column}, "%s", syntax.GetMessage())
	}
	return treeError(position{file, 1, 1}, "%s", firstLine(err.Error()))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func at(file string, n ast.Node) position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return position{file, t.Position.Line, t.Position.Column}
	}
	return position{file, 1, 1}
}

func convert(file, key string, from ast.Node) (*node, error) {
	n := &node{pos: at(file, from), key: key}
	var err error
	switch v := from.(type) {
	case *ast.MappingNode:
		n.kind = mappingNode
		n.entries, err = convertEntries(file, v)
	case *ast.SequenceNode:
		n.kind = sequenceNode
		n.items, err = convertItems(file, key, v)
	case *ast.LiteralNode:
		n.text = strings.TrimSpace(v.Value.Value)
		n.value = n.text
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		err = treeError(n.pos, "anchors, aliases and tags of YAML are not part of the language")
	case ast.ScalarNode:
		n.text, n.value = v.GetToken().Value, v.GetValue()
		n.plain = v.GetToken().Type != token.SingleQuoteType && v.GetToken().Type != token.DoubleQuoteType
	default:
		err = treeError(n.pos, "a %s is not part of the language", strings.ToLower(from.Type().String()))
	}
	return n, err
}

func convertEntries(file string, m *ast.MappingNode) ([]entry, error) {
	var entries []entry
	for _, pair := range m.Values {
		p := at(file, pair.Key)
		if pair.Key.IsMergeKey() {
			return nil, treeError(p, "merge keys (<<) of YAML are not part of the language; what both directions share goes under \"both\"")
		}
		scalar, ok := pair.Key.(ast.ScalarNode)
		if !ok {
			return nil, treeError(p, "a key must be a plain word")
		}
		key := scalar.GetToken().Value
		value, err := convert(file, key, pair.Value)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{key, p, value})
	}
	return entries, nil
}

func convertItems(file, key string, s *ast.SequenceNode) ([]*node, error) {
	var items []*node
	for _, value := range s.Values {
		item, err := convert(file, key, value)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}
