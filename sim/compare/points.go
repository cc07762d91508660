package compare

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Point is a row of a table of settings.
type Point struct {
	Name string
	Set  []string // "path=value", as --set takes them

	file   string
	places []place // of each entry of Set
}

type place struct{ line, column int }

// Bounds of a table of settings.
const (
	maxPoints    = 100_000
	maxPointsCSV = 64 << 20 // bytes
)

var (
	pointName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	numbered  = regexp.MustCompile(`[-_.]?[0-9]+$`)
)

// ClassOf is the class a point belongs to: its name without the number at its
// end. "lowbdp-loss-17" is of the class "lowbdp-loss".
func ClassOf(point string) string {
	if class := numbered.ReplaceAllString(point, ""); class != "" {
		return class
	}
	return point
}

// ReadPoints reads a table of settings: CSV with a heading, in which the first
// column is called name and each other one is a key of the scenario as --set
// takes it. An empty field leaves what the scenario says. Lines that begin with
// # are comments. Faults are scenario.Errors, with line and column in the file.
func ReadPoints(file string, r io.Reader) ([]Point, error) {
	t := &table{file: file, csv: csv.NewReader(io.LimitReader(r, maxPointsCSV)), names: map[string]int{}}
	t.csv.Comment = '#'
	t.csv.TrimLeadingSpace = true
	if !t.heading() {
		return nil, t.errs
	}
	for t.row() {
	}
	if len(t.errs) == 0 && len(t.points) == 0 {
		t.fault(place{1, 1}, "no row below the heading")
	}
	if len(t.errs) > 0 {
		return nil, t.errs
	}
	return t.points, nil
}

// table is a table of settings on the way in.
type table struct {
	file   string
	csv    *csv.Reader
	keys   []string
	names  map[string]int // name -> line
	points []Point
	errs   scenario.Errors
}

func (t *table) fault(p place, format string, args ...any) {
	t.errs = append(t.errs, scenario.Error{File: t.file, Line: p.line, Column: p.column, Message: fmt.Sprintf(format, args...)})
}

// at is the place of a field of the row that was read last.
func (t *table) at(field int) place {
	line, column := t.csv.FieldPos(field)
	return place{line, column}
}

// read reads a row; a fault of its form is noted.
func (t *table) read() ([]string, error) {
	fields, err := t.csv.Read()
	var syntax *csv.ParseError
	if errors.As(err, &syntax) {
		if errors.Is(err, csv.ErrFieldCount) {
			t.fault(place{syntax.Line, 1}, "%d fields: the heading has %d", len(fields), len(t.keys))
		} else {
			t.fault(place{syntax.Line, syntax.Column}, "%s", syntax.Err)
		}
	} else if err != nil && err != io.EOF {
		t.fault(place{1, 1}, "%s", err)
	}
	return fields, err
}

func (t *table) heading() bool {
	keys, err := t.read()
	if err == io.EOF {
		t.fault(place{1, 1}, "empty: a heading is expected, such as name,links.0.both.rate")
	}
	if err != nil {
		return false
	}
	t.keys = slices.Clone(keys)
	for i, key := range t.keys {
		switch {
		case i == 0 && key != "name":
			t.fault(t.at(i), "the first column is %q: it must be name", key)
		case key == "":
			t.fault(t.at(i), "a column without a key, such as links.0.both.rate")
		case slices.Index(t.keys, key) < i:
			t.fault(t.at(i), "a second column %q", key)
		case i > 0 && strings.Contains(key, "="):
			t.fault(t.at(i), "%q is no key: the values are in the rows below", key)
		}
	}
	if len(t.errs) == 0 && len(t.keys) < 2 {
		t.fault(place{1, 1}, "only names: columns with keys are expected, such as links.0.both.rate")
	}
	return len(t.errs) == 0
}

// row reads a row and says whether there may be another.
func (t *table) row() bool {
	fields, err := t.read()
	if err != nil {
		return errors.Is(err, csv.ErrFieldCount) // the reader goes on after it
	}
	p := Point{Name: fields[0], file: t.file}
	switch line, known := t.names[p.Name]; {
	case !pointName.MatchString(p.Name):
		t.fault(t.at(0), "name = %q: must be at most 64 letters, digits, - _ or .", p.Name)
	case known:
		t.fault(t.at(0), "the name %q is that of line %d already", p.Name, line)
	}
	t.names[p.Name] = t.at(0).line
	for i, value := range fields[1:] {
		if value == "" {
			continue
		}
		p.Set = append(p.Set, t.keys[i+1]+"="+value)
		p.places = append(p.places, t.at(i+1))
	}
	if len(t.points) == maxPoints {
		t.fault(t.at(0), "more than %d rows", maxPoints)
		return false
	}
	t.points = append(t.points, p)
	return true
}

// Place puts faults that a scenario has at this point to where they are in the
// table; those that are in the scenario's file say at which point.
func (p Point) Place(err error) error {
	var list scenario.Errors
	if !errors.As(err, &list) {
		return err
	}
	placed := slices.Clone(list)
	for i := range placed {
		override, ok := strings.CutPrefix(placed[i].File, "--set ")
		if n := slices.Index(p.Set, override); ok && n >= 0 {
			placed[i].File, placed[i].Line, placed[i].Column = p.file, p.places[n].line, p.places[n].column
		} else {
			placed[i].Message += " (at point " + p.Name + ")"
		}
	}
	return placed
}
