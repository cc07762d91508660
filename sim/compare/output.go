package compare

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"text/tabwriter"

	"github.com/multilink-vpn/multilink/sim/report"
)

// The files that a comparison writes into its folder.
const (
	ResultsFile = "results.csv"
	SummaryFile = "summary.json"
	ReportFile  = "report.html"
)

// Write writes results.csv, summary.json and report.html of what there is, and
// returns the summary.
func Write(dir string, p *Plan, records map[Cell]Record) (*Summary, error) {
	s := summarise(p, records)
	write := func(name string, to func(io.Writer) error) error {
		return report.WriteFile(filepath.Join(dir, name), to)
	}
	return s, errors.Join(
		write(ResultsFile, func(w io.Writer) error { return writeCSV(w, p, records) }),
		write(SummaryFile, func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", " ")
			enc.SetEscapeHTML(false)
			return enc.Encode(s)
		}),
		write(ReportFile, func(w io.Writer) error { return report.WriteHTML(w, page(p, records, s)) }),
	)
}

// writeCSV writes a row for each measurement of each cell: what was measured,
// and the metrics made of that as "metric.efficiency".
func writeCSV(w io.Writer, p *Plan, records map[Cell]Record) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"scenario", "point", "backend", "scheduler", "seed", "verdict", "measurement", "value"}); err != nil {
		return err
	}
	for _, cell := range p.Cells() {
		r, ok := records[cell]
		if !ok || r.Error != "" {
			continue
		}
		c := p.find(cell)
		flat := flatten(r.Measurements)
		one := newRun(c, &r, records)
		for _, m := range metrics {
			if v := m.of(one); !math.IsNaN(v) && !math.IsInf(v, 0) {
				flat["metric."+m.Key] = v
			}
		}
		for _, name := range names(flat) {
			err := out.Write([]string{cell.Scenario, cell.Point, c.Backend, cell.Label(), strconv.FormatUint(cell.Seed, 10),
				string(r.Verdict), name, strconv.FormatFloat(flat[name], 'g', -1, 64)})
			if err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

// WriteText writes the summary for people: per scenario a table of schedulers
// and baselines; of points only their classes.
func (s *Summary) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	last := ""
	for _, row := range s.Rows {
		if row.Point != "" {
			continue
		}
		if row.Scenario != last {
			last = row.Scenario
			fmt.Fprintf(t, "\n%s (%s)\tgoodput\tefficiency\tof capacity\tbenefit\tping p95\trank\t\n", row.Scenario, row.Backend)
		}
		rank := "-"
		if row.Rank > 0 {
			rank = strconv.Itoa(row.Rank)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Scheduler,
			row.text("goodput", 1e-6, "%.2f Mbit/s"), row.text("efficiency", 1, "%.3f"), row.text("capacity_share", 1, "%.3f"),
			row.text(benefitKey, 1, "%.3f"), row.text("ping_p95", 1e3, "%.1f ms"), rank, row.Cells.note())
	}
	for _, c := range s.Classes {
		if key := c.Scenario + " " + c.Class; key != last {
			last = key
			fmt.Fprintf(t, "\n%s, class %s\tpoints\tbenefit p5\tp50\tp95\tnot under best\n", c.Scenario, c.Class)
		}
		fmt.Fprintf(t, "  %s\t%d\t%.3f\t%.3f\t%.3f\t%.3f\n", c.Scheduler, c.Points, c.Benefit["p5"], c.Benefit["p50"], c.Benefit["p95"], c.NotUnderBest)
	}
	if len(s.Overall) > 1 && s.Runs >= leastRanked {
		fmt.Fprintf(t, "\nover all\tfirst or tied\tmean rank\t\n")
		for _, o := range s.Overall {
			fmt.Fprintf(t, "  %s\t%d of %d\t%.2f\t\n", o.Scheduler, o.First, o.Of, o.MeanRank)
		}
	} else if len(s.Overall) > 1 {
		fmt.Fprintf(t, "\nNo ranks: of fewer than %d runs no difference is significant.\n", leastRanked)
	}
	return t.Flush()
}

// text is a median, "-" where there is none.
func (r *Row) text(metric string, scale float64, format string) string {
	e, ok := r.Metrics[metric]
	if !ok {
		return "-"
	}
	return fmt.Sprintf(format, e.Median*scale)
}

// note says what is wrong with some cells, "" if nothing is.
func (c Count) note() string {
	if c.Usable == c.Planned {
		return ""
	}
	text := fmt.Sprintf("%d of %d runs", c.Usable, c.Planned)
	for _, part := range []struct {
		n    int
		what string
	}{{c.Failed, "failed"}, {c.Inconclusive, "inconclusive"}, {c.Missing, "not run"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return text
}
