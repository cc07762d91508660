package scenario

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Options says how a scenario is read. The checks are injected, so that the
// language knows nothing of the product.
type Options struct {
	// Set holds overrides, "path=value", applied in order before the
	// scenario is checked.
	Set []string
	// CheckClient and CheckServer check configuration keys of the product;
	// nil accepts all. They may return *KeyError, joined where there are
	// several.
	CheckClient, CheckServer func(map[string]any) error
	// StatusNames returns the dotted names that the status of a role
	// ("client", "server") has, where "*" stands for any one part
	// ("links.*.rtt"). nil, and an empty list, accept all names.
	StatusNames func(role string) []string
}

// maxFile bounds a scenario file, in bytes.
const maxFile = 256 << 10

// Load reads and checks a scenario file. A fault of the scenario is an
// Errors; any other error is one of reading the file.
func Load(path string, o Options) (*Scenario, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return Parse(path, data, o)
}

// Parse reads and checks a scenario that stands in data. The name is its path:
// it is shown in errors, and traces are relative to its folder. A fault is an
// Errors.
func Parse(name string, data []byte, o Options) (*Scenario, error) {
	if len(data) > maxFile {
		return nil, Errors{{File: name, Line: 1, Column: 1, Message: fmt.Sprintf("larger than %d bytes: this is no scenario", maxFile)}}
	}
	root, err := parseTree(name, data)
	if err != nil {
		return nil, asErrors(err)
	}
	if root == nil || root.kind != mappingNode {
		return nil, Errors{{File: name, Line: 1, Column: 1, Message: "not a scenario: keys such as name, links and traffic are expected"}}
	}
	d := &decoder{opts: o, dir: filepath.Dir(name)}
	for _, set := range o.Set {
		if err := applyOverride(root, set); err != nil {
			d.errs = append(d.errs, asErrors(err)...)
		}
	}
	sc := &Scenario{Path: name}
	d.scenario(root, sc)
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	return sc, nil
}

func asErrors(err error) Errors {
	var one Error
	if errors.As(err, &one) {
		return Errors{one}
	}
	return Errors{{Line: 1, Column: 1, Message: err.Error()}}
}
