package config

import (
	"fmt"
	"slices"

	"github.com/pelletier/go-toml/v2"
)

// CheckClientKeys checks part of a client's configuration that does not come
// from a TOML file, such as the client of a scenario: every key and value that
// is there, as [ParseClient] would, but none that is missing. The errors have
// no file or place, only the Key.
func CheckClientKeys(keys map[string]any) error {
	_, err := renderWith(keys, decodeClient)
	return err
}

// CheckServerKeys is CheckClientKeys for a server.
func CheckServerKeys(keys map[string]any) error {
	_, err := renderWith(keys, decodeServer)
	return err
}

// RenderClient checks keys as [CheckClientKeys] does and writes them as TOML,
// in alphabetical order.
func RenderClient(keys map[string]any) ([]byte, error) { return renderWith(keys, decodeClient) }

// RenderServer is RenderClient for a server.
func RenderServer(keys map[string]any) ([]byte, error) { return renderWith(keys, decodeServer) }

func renderWith[T any](keys map[string]any, decode func(*table) *T) ([]byte, error) {
	if err := checkTypes("", keys); err != nil {
		return nil, Errors{err}
	}
	data, err := toml.Marshal(keys)
	if err != nil {
		return nil, Errors{{Problem: "cannot be written as TOML", Want: err.Error()}}
	}
	doc, err := parse("", data)
	if err != nil {
		return nil, err
	}
	doc.places = nil // they are those of the rendering
	d := newDecoder("", doc, true)
	decode(d.root())
	if err := d.finish(); err != nil {
		return nil, err
	}
	return data, nil
}

// checkTypes finds what TOML has no word for.
func checkTypes(path string, v any) *Error {
	switch v := v.(type) {
	case nil:
		return &Error{Key: path, Value: "null", Want: "must have a value, or be left out"}
	case map[string]any:
		for _, key := range sortedKeys(v) {
			if err := checkTypes(join(path, key), v[key]); err != nil {
				return err
			}
		}
	case []any:
		for i, e := range v {
			if err := checkTypes(elem(path, i), e); err != nil {
				return err
			}
		}
	case string, bool, int, int64, uint64, float64:
	default:
		return &Error{Key: path, Value: fmt.Sprint(v), Want: fmt.Sprintf("a %T has no place in a configuration", v)}
	}
	return nil
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
