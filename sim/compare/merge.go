package compare

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Merge puts the folders of shards together into the folder of the whole
// comparison, and returns its plan and its store. Where a cell is in several,
// a usable record counts more than one that is not.
func Merge(out string, dirs []string) (*Plan, *Store, error) {
	var whole *Plan
	all := map[Cell]Record{}
	for _, dir := range dirs {
		p, records, err := read(dir)
		if err != nil {
			return nil, nil, err
		}
		if whole == nil {
			own := *p
			own.Shard = Shard{}
			whole = &own
		} else if lines := whole.Difference(p); len(lines) > 0 {
			return nil, nil, &DifferentError{Dir: dir, Shard: dirs[0], Lines: lines}
		}
		for cell, r := range latest(records) {
			if there, ok := all[cell]; !ok || !there.Usable() {
				all[cell] = r
			}
		}
	}
	s, err := Open(out, whole)
	if err != nil {
		return nil, nil, err
	}
	var news []Record
	for _, c := range whole.Cells() {
		r, ok := all[c]
		if there, known := s.done[c]; ok && (!known || r.Usable() && !there.Usable()) {
			news = append(news, r)
		}
	}
	if err := s.Append(news...); err != nil {
		s.Close()
		return nil, nil, err
	}
	return whole, s, nil
}

// read reads the folder of a comparison, which may be at work.
func read(dir string) (*Plan, []Record, error) {
	p, err := readPlan(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil, fmt.Errorf("%s: there is no %s: not the folder of a comparison", dir, planFile)
	}
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(filepath.Join(dir, cellsFile))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	records, _, err := readRecords(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	planned := map[Cell]bool{}
	for _, c := range p.Cells() {
		planned[c] = true
	}
	for _, r := range records {
		if !planned[r.Cell] {
			return nil, nil, fmt.Errorf("%s: %s of %s is no cell of its plan", f.Name(), r.Label(), r.Scenario)
		}
	}
	return p, records, nil
}
