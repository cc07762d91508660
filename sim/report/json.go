package report

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
)

// WriteJSON writes results as JSON: one as an object, several as an array.
func WriteJSON(w io.Writer, results []*Result) error {
	clean := make([]*Result, len(results))
	for i, r := range results {
		clean[i] = r.finite()
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false) // expectations have < and > in them
	if len(clean) == 1 {
		return enc.Encode(clean[0])
	}
	return enc.Encode(clean)
}

// finite is the result with null in the place of numbers that JSON has no form
// for: infinite ones, and those that are not a number.
func (r *Result) finite() *Result {
	c := *r
	if c.Measurements == nil {
		c.Measurements = map[string]any{}
	}
	c.Measurements = finite(c.Measurements).(map[string]any)
	c.Expectations = make([]Expectation, len(r.Expectations))
	for i, e := range r.Expectations {
		e.Left, e.Right = finite(e.Left), finite(e.Right)
		c.Expectations[i] = e
	}
	return &c
}

func finite(v any) any {
	switch x := v.(type) {
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
	case map[string]any:
		m := maps.Clone(x)
		for k, v := range m {
			m[k] = finite(v)
		}
		return m
	case []any:
		s := make([]any, len(x))
		for i, v := range x {
			s[i] = finite(v)
		}
		return s
	}
	return v
}

// WriteFile writes a file as write does, so that readers see all of it or
// what was there before.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err = write(f); err == nil {
		err = f.Chmod(0o644)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	return nil
}
