package scenario

import (
	"slices"
	"strconv"
	"strings"
)

// applyOverride sets one key of the tree as "path=value" says. The path leads
// from key to key by dots; an entry of a list goes by its number or its name.
// The value is YAML.
func applyOverride(root *node, override string) error {
	origin := position{file: "--set " + override}
	path, text, ok := strings.Cut(override, "=")
	if !ok || path == "" {
		return treeError(origin, "must be path=value, such as client.scheduler=minrtt")
	}
	keys := strings.Split(path, ".")
	if slices.Contains(keys, "") {
		return treeError(origin, "the path %q has an empty part", path)
	}
	value, err := overrideValue(origin, text)
	if err != nil {
		return err
	}
	parents := []*node{root}
	for i, key := range keys[:len(keys)-1] {
		next, err := descend(parents[i], key, keys[:i], origin)
		if err != nil {
			return err
		}
		parents = append(parents, next)
	}
	if err := assign(parents[len(parents)-1], keys, value, origin); err != nil {
		return err
	}
	unshadow(parents, keys, value)
	return nil
}

func overrideValue(origin position, text string) (*node, error) {
	value, err := parseTree(origin.file, []byte(text))
	if err != nil {
		if e, ok := err.(Error); ok {
			return nil, treeError(origin, "the value is not YAML: %s", e.Message)
		}
		return nil, err
	}
	if value == nil {
		return &node{pos: origin}, nil
	}
	value.relocate(origin)
	return value, nil
}

// relocate makes the override the place of all values that came from it.
func (n *node) relocate(p position) {
	n.pos, n.plain = p, false
	for i := range n.entries {
		n.entries[i].pos = p
		n.entries[i].value.relocate(p)
	}
	for _, item := range n.items {
		item.relocate(p)
	}
}

// descend returns what stands under a key, a new mapping where nothing does.
func descend(n *node, key string, before []string, origin position) (*node, error) {
	switch n.kind {
	case sequenceNode:
		i, err := itemIndex(n, key, before, origin)
		if err != nil {
			return nil, err
		}
		return n.items[i], nil
	case scalarNode:
		if !n.isNull() {
			return nil, treeError(origin, "%s is %q: it has no %q in it", strings.Join(before, "."), n.text, key)
		}
		n.kind = mappingNode
	}
	if next := n.get(key); next != nil {
		return next, nil
	}
	next := &node{kind: mappingNode, pos: origin, key: key}
	n.put(entry{key, origin, next})
	return next, nil
}

func assign(n *node, keys []string, value *node, origin position) error {
	last, before := keys[len(keys)-1], keys[:len(keys)-1]
	value.key = last
	switch {
	case n.kind == sequenceNode:
		i, err := itemIndex(n, last, before, origin)
		if err != nil {
			return err
		}
		value.key = n.items[i].key
		n.items[i] = value
		return nil
	case n.kind == scalarNode && !n.isNull():
		return treeError(origin, "%s is %q: it has no %q in it", strings.Join(before, "."), n.text, last)
	}
	n.kind = mappingNode
	n.put(entry{last, origin, value})
	return nil
}

// itemIndex finds an entry of a list by its number or its name.
func itemIndex(list *node, key string, before []string, origin position) (int, error) {
	if i, err := strconv.Atoi(key); err == nil {
		if i < 0 || i >= len(list.items) {
			return 0, treeError(origin, "%s has no entry %s: it has %d, counted from 0", strings.Join(before, "."), key, len(list.items))
		}
		return i, nil
	}
	var names []string
	for i, item := range list.items {
		name := item.get("name")
		if name == nil {
			continue
		}
		if name.text == key {
			return i, nil
		}
		names = append(names, name.text)
	}
	return 0, treeError(origin, "%s has no entry %q: %s", strings.Join(before, "."), key, suggest(key, names))
}

// unshadow makes an override under `both` count in both directions: what the
// file says of the same keys under `up` and `down` goes.
func unshadow(parents []*node, keys []string, value *node) {
	i := slices.Index(keys, "both")
	if i < 0 || !slices.Contains([]string{"links", "bottlenecks", "timeline"}, keys[0]) {
		return
	}
	var set []string
	if i+1 < len(keys) {
		set = []string{keys[i+1]}
	} else {
		for _, e := range value.entries {
			set = append(set, e.key)
		}
	}
	for _, direction := range []string{"up", "down"} {
		if impairment := parents[i].get(direction); impairment != nil {
			for _, key := range set {
				impairment.remove(key)
			}
		}
	}
}
