package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/multilink-vpn/multilink/sim/report"
)

// The files of a comparison's folder.
const (
	planFile  = "plan.json"
	cellsFile = "cells.jsonl"
)

// DifferentError says that a folder holds another comparison.
type DifferentError struct {
	Dir string
	// Shard is the folder that Dir was to be merged with; "" when Dir was to
	// take the results.
	Shard string
	Lines []string // the differences; "here" is Shard, or what was to be run
}

// Error names the differences and the ways out.
func (e *DifferentError) Error() string {
	lines := strings.Join(e.Lines, "\n  ")
	if e.Shard != "" {
		return fmt.Sprintf("%s (here) and %s (there) are not of one comparison:\n  %s\nName the shards of one only.", e.Shard, e.Dir, lines)
	}
	return fmt.Sprintf("%s holds another comparison:\n  %s\nChoose another folder with --out, or remove that one.", e.Dir, lines)
}

// Store is the folder of a comparison, in use by one process.
type Store struct {
	dir  string
	file *os.File
	done map[Cell]Record
}

// Open opens the folder of a comparison, making it if it is not there. What it
// holds of the same plan is read; of another plan the error is a
// DifferentError.
func Open(dir string, p *Plan) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, cellsFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, file: f}
	if err := s.begin(p); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) begin(p *Plan) error {
	if err := syscall.Flock(int(s.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("%s: another comparison is at work in this folder (%w)", s.dir, err)
	}
	switch there, err := readPlan(s.dir); {
	case errors.Is(err, os.ErrNotExist):
		if err := writePlan(s.dir, p); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		lines := p.Difference(there)
		if p.Shard != there.Shard {
			lines = append(lines, fmt.Sprintf("shard: %s here, %s there", p.Shard, there.Shard))
		}
		if len(lines) > 0 {
			return &DifferentError{Dir: s.dir, Lines: lines}
		}
	}
	records, length, err := readRecords(s.file)
	if err != nil {
		return fmt.Errorf("%s: %w", s.file.Name(), err)
	}
	s.done = latest(records)
	// What is left of a line that was not finished goes.
	if err := s.file.Truncate(length); err != nil {
		return err
	}
	_, err = s.file.Seek(length, io.SeekStart)
	return err
}

// Append puts records into the folder; when it returns, they are on disk.
func (s *Store) Append(records ...Record) error {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, r := range records {
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("%s of %s: %w", r.Label(), r.Scenario, err)
		}
	}
	_, err := s.file.Write(lines.Bytes())
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.file.Name(), err)
	}
	for _, r := range records {
		s.done[r.Cell] = r
	}
	return nil
}

// Records are the latest record of each cell that has one.
func (s *Store) Records() map[Cell]Record { return s.done }

// Left are those of some cells that are still to be run: what there is no
// usable record of.
func (s *Store) Left(cells []Cell) []Cell {
	var left []Cell
	for _, c := range cells {
		if r, ok := s.done[c]; !ok || !r.Usable() {
			left = append(left, c)
		}
	}
	return left
}

// Close lets go of the folder.
func (s *Store) Close() error { return s.file.Close() }

func latest(records []Record) map[Cell]Record {
	m := map[Cell]Record{}
	for _, r := range records {
		m[r.Cell] = r
	}
	return m
}

func readPlan(dir string) (*Plan, error) {
	path := filepath.Join(dir, planFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%s: not the plan of a comparison: %w", path, err)
	}
	for i := range p.Cases {
		if p.Cases[i].Scenario == nil {
			return nil, fmt.Errorf("%s: not the plan of a comparison: a case has no scenario", path)
		}
	}
	return p, nil
}

func writePlan(dir string, p *Plan) error {
	return report.WriteFile(filepath.Join(dir, planFile), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", " ")
		enc.SetEscapeHTML(false)
		return enc.Encode(p)
	})
}

// readRecords reads lines up to the last that is finished, and returns the
// length of those.
func readRecords(r io.Reader) (records []Record, length int64, err error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, 0, err
	}
	for number := 1; ; number++ {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			return records, length, nil
		}
		var one Record
		if err := json.Unmarshal(data[:end], &one); err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", number, err)
		}
		records = append(records, one)
		data, length = data[end+1:], length+int64(end)+1
	}
}
