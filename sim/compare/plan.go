package compare

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Kind is what a cell runs.
type Kind string

// The kinds of cells. All but Tunnel are baselines.
const (
	Tunnel Kind = "tunnel"               // the scenario, with one of the schedulers
	Alone  Kind = scenario.BaselineAlone // one link alone, through the tunnel with the default scheduler
	Bare   Kind = scenario.BaselineBare  // one link alone, past the tunnel
	MPTCP  Kind = "mptcp"                // all links, past the tunnel by the kernel's MPTCP
)

// Baselines are the kinds of baselines, in the order they are run.
var Baselines = []Kind{Alone, Bare, MPTCP}

// Cell names one run of a comparison.
type Cell struct {
	Scenario string `json:"scenario"`
	Point    string `json:"point,omitempty"`
	Seed     uint64 `json:"seed"`
	Kind     Kind   `json:"kind"`
	Name     string `json:"name,omitempty"` // the scheduler, or the link
}

// Label is the cell's row in tables: the scheduler, or the baseline
// ("alone:wlan0", "mptcp").
func (c Cell) Label() string {
	switch {
	case c.Kind == Tunnel:
		return c.Name
	case c.Name == "":
		return string(c.Kind)
	}
	return string(c.Kind) + ":" + c.Name
}

// Case is a scenario at a point.
type Case struct {
	// Scenario is the scenario as it is compared, without the places it has
	// on the machine it came from: a trace is its name and a digest.
	Scenario *scenario.Scenario `json:"scenario"`
	Point    string             `json:"point,omitempty"`
	Backend  string             `json:"backend"`

	runs *scenario.Scenario // as it was read; nil in a plan from a file
}

// Shard is a part of a comparison, 1 to Of.
type Shard struct {
	Index int `json:"index"`
	Of    int `json:"of"`
}

// ParseShard reads "i/n"; "" is the whole, the zero Shard.
func ParseShard(s string) (Shard, error) {
	if s == "" {
		return Shard{}, nil
	}
	a, b, ok := strings.Cut(s, "/")
	i, err1 := strconv.Atoi(a)
	n, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || n < 1 || i < 1 || i > n {
		return Shard{}, fmt.Errorf("%q: must be i/n with i from 1 to n, such as 1/4", s)
	}
	return Shard{i, n}, nil
}

// String returns "i/n".
func (s Shard) String() string {
	if s.Of == 0 {
		return "whole"
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Of)
}

// Plan says what is compared. It is plan.json.
type Plan struct {
	// Program is a digest of the programs under test: results of different
	// ones do not belong into one comparison.
	Program    string   `json:"program"`
	Impair     string   `json:"impair"`
	Schedulers []string `json:"schedulers"`
	Runs       int      `json:"runs"` // seeds of each scenario, from its own on
	Baselines  []Kind   `json:"baselines"`
	Cases      []Case   `json:"cases"`
	Shard      Shard    `json:"shard,omitzero"`
	// Command is the command line that began it, and Version the program it
	// was one of; they are not compared.
	Command []string `json:"command"`
	Version string   `json:"version"`
}

// NewCase makes a case of a scenario.
func NewCase(sc *scenario.Scenario, point, backend string) (Case, error) {
	clean := *sc
	clean.Path = filepath.Base(sc.Path)
	clean.Links = slices.Clone(sc.Links)
	clean.Bottlenecks = slices.Clone(sc.Bottlenecks)
	clean.Timeline = slices.Clone(sc.Timeline)
	var traced []*scenario.Impairment
	for i := range clean.Links {
		traced = append(traced, &clean.Links[i].Up, &clean.Links[i].Down)
	}
	for i := range clean.Bottlenecks {
		traced = append(traced, &clean.Bottlenecks[i].Up, &clean.Bottlenecks[i].Down)
	}
	for i := range clean.Timeline {
		for _, side := range []**scenario.Impairment{&clean.Timeline[i].Up, &clean.Timeline[i].Down} {
			if *side != nil {
				own := **side
				*side = &own
				traced = append(traced, &own)
			}
		}
	}
	for _, im := range traced {
		if im.Trace == "" {
			continue
		}
		digest, err := Digest(im.Trace)
		if err != nil {
			return Case{}, err
		}
		im.Trace = filepath.Base(im.Trace) + " " + digest
	}
	return Case{Scenario: &clean, Point: point, Backend: backend, runs: sc}, nil
}

// Digest is a digest of files' contents, short enough to be read.
func Digest(paths ...string) (string, error) {
	h := sha256.New()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)[:12]), nil
}

// Cells lists the plan's cells in the order they are run: seed by seed, so that
// what an interrupt leaves says something about every scenario, and next to
// each other those that are compared with each other. Of a shard only its own.
func (p *Plan) Cells() []Cell {
	var cells []Cell
	groups := 0
	for run := range p.Runs {
		for i := range p.Cases {
			if p.Shard.Of == 0 || groups%p.Shard.Of == p.Shard.Index-1 {
				cells = append(cells, p.cellsOf(&p.Cases[i], run)...)
			}
			groups++
		}
	}
	return cells
}

func (p *Plan) cellsOf(c *Case, run int) []Cell {
	one := Cell{Scenario: c.Scenario.Name, Point: c.Point, Seed: c.Scenario.Seed + uint64(run)}
	var cells []Cell
	add := func(kind Kind, name string) {
		one.Kind, one.Name = kind, name
		cells = append(cells, one)
	}
	hasTunnel := slices.ContainsFunc(c.Scenario.Traffic, func(t scenario.Traffic) bool { return t.Via.Kind == "tunnel" })
	for _, kind := range p.Baselines {
		switch {
		case kind == MPTCP && c.Backend == scenario.Namespaces && scenario.ByMPTCP(c.Scenario) != nil:
			add(MPTCP, "")
		case kind != MPTCP && hasTunnel:
			for _, l := range c.Scenario.Links {
				add(kind, l.Name)
			}
		}
	}
	for _, name := range p.Schedulers {
		add(Tunnel, name)
	}
	return cells
}

// find returns the case of a cell.
func (p *Plan) find(c Cell) *Case {
	for i := range p.Cases {
		if p.Cases[i].Scenario.Name == c.Scenario && p.Cases[i].Point == c.Point {
			return &p.Cases[i]
		}
	}
	return nil
}

// scenarioOf is what a cell runs: without baseline and expectations, which are
// for when all cells are there.
func (c *Case) scenarioOf(cell Cell) *scenario.Scenario {
	var one *scenario.Scenario
	switch cell.Kind {
	case Alone, Bare:
		i := slices.IndexFunc(c.runs.Links, func(l scenario.Link) bool { return l.Name == cell.Name })
		one = scenario.Single(c.runs, i, string(cell.Kind))
		one.Client = maps.Clone(one.Client)
		delete(one.Client, "scheduler")
	case MPTCP:
		one = scenario.ByMPTCP(c.runs)
	default:
		own := *c.runs
		one = &own
		one.Baseline, one.Expect = "", nil
		one.Client = maps.Clone(one.Client)
		if one.Client == nil {
			one.Client = map[string]any{}
		}
		one.Client["scheduler"] = cell.Name
	}
	one.Seed = cell.Seed
	return one
}

// judge judges the scenario's expectations on measurements with those of its
// baseline.
func (c *Case) judge(measurements map[string]any) []report.Expectation {
	return scenario.Evaluate(c.Scenario, measurements)
}
