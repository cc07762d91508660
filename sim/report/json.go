package report

import (
	"encoding/json"
	"fmt"
	"io"
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

// finite is the result without numbers that JSON has no form for.
func (r *Result) finite() *Result {
	c := *r
	c.Measurements = Finite(c.Measurements).(map[string]any)
	c.Expectations = make([]Expectation, len(r.Expectations))
	for i, e := range r.Expectations {
		e.Left, e.Right = Finite(e.Left), Finite(e.Right)
		c.Expectations[i] = e
	}
	return &c
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
