package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/report"
)

// Result is what was measured.
type Result struct {
	// Values are the figures of each tunnel and exercise, one per pair.
	Values map[string]map[string][]float64 `json:"values"`
	// Comparisons set them against each other.
	Comparisons []Comparison `json:"comparisons"`
	// Noise says why the figures are doubtful, if they are.
	Noise       []string    `json:"noise"`
	Stolen      float64     `json:"stolen"` // share of processor time the hypervisor took
	Busy        float64     `json:"busy"`   // the same in use while no tunnel was loaded, before or after
	Environment Environment `json:"environment"`

	options  Options
	profiler *profiler // nil: no profile is taken
}

// Environment is where it was measured.
type Environment struct {
	Kernel     string         `json:"kernel"`
	Processors int            `json:"processors"`
	Pairs      int            `json:"pairs"`
	Seconds    float64        `json:"seconds"` // of each measurement
	Client     map[string]any `json:"client,omitempty"`
}

// Comparison is one figure of a tunnel by that of another, pair by pair.
type Comparison struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"`
	Median float64   `json:"median"`
	Low    float64   `json:"low"`
	High   float64   `json:"high"`
	// Goal is what the median has to reach, Aim what would be better. Where
	// Less is set, they are upper bounds.
	Goal float64 `json:"goal,omitempty"`
	Aim  float64 `json:"aim,omitempty"`
	Less bool    `json:"less,omitempty"`
}

// comparison says which figures to compare.
type comparison struct {
	name        string
	of, against string // tunnels
	key         string
	difference  bool // in ms, not a ratio
	less        bool
	goal, aim   float64
}

// comparisons are all there are; those without their figures are left out.
// The goals are those of a tunnel that nobody with a fast line pays for.
func comparisons() []comparison {
	var list []comparison
	ratio := func(key string, less bool, goal, aim float64) {
		list = append(list, comparison{
			name: key + " / " + referenceName, of: productName, against: referenceName,
			key: key, less: less, goal: goal, aim: aim,
		})
	}
	for _, direction := range []string{"down", "up"} {
		ratio("tcp1-"+direction+".goodput", false, 1.8, 2.2)
		ratio("tcp1-"+direction+".cpu_per_gb", true, 0, 0)
	}
	for _, direction := range []string{"down", "up"} {
		ratio("tcp4-"+direction+".goodput", false, 2.0, 2.5)
		ratio("tcp4-"+direction+".ping", true, 0.5, 0.2)
		ratio("tcp4-"+direction+".cpu_per_gb", true, 0, 0)
	}
	for _, size := range []string{"64", "200"} {
		ratio("udp-"+size+".packets", false, 4, 6)
	}
	ratio("udp-mixed.packets", false, 0, 0)
	for _, of := range []string{productName, referenceName} {
		c := comparison{name: "idle RTT added by " + of + ", ms", of: of, against: bareName, key: "ping.ping", difference: true, less: true}
		if of == productName {
			c.goal, c.aim = 0.4, 0.2
		}
		list = append(list, c)
	}
	for _, direction := range []string{"down", "up"} {
		key := "tcp1-" + direction + ".goodput"
		list = append(list, comparison{
			name: key + ", two links / one", of: twoLinksName, against: productName, key: key, goal: 0.9, aim: 1,
		})
	}
	return list
}

func newResult(o Options) *Result {
	r := &Result{Values: map[string]map[string][]float64{}, Noise: []string{}, options: o}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		r.Environment.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	r.Environment.Processors = runtime.NumCPU()
	r.Environment.Pairs, r.Environment.Seconds, r.Environment.Client = o.Pairs, o.Time.Seconds(), o.Client
	return r
}

func (r *Result) add(tunnel, key string, value float64) {
	if r.Values[tunnel] == nil {
		r.Values[tunnel] = map[string][]float64{}
	}
	r.Values[tunnel][key] = append(r.Values[tunnel][key], value)
}

// finish compares, and judges the machine.
func (r *Result) finish(stolen, busy float64) {
	r.Stolen, r.Busy = stolen, busy
	r.Noise = append(r.Noise, noise(stolen, busy, r.Values[referenceName])...)
	for _, c := range append(comparisons(), featureComparisons()...) {
		of, against := r.Values[c.of][c.key], r.Values[c.against][c.key]
		if len(of) == 0 || len(of) != len(against) {
			continue
		}
		values := make([]float64, len(of))
		for i := range of {
			values[i] = of[i] / against[i]
			if c.difference {
				values[i] = (of[i] - against[i]) * 1e3
			}
		}
		r.Comparisons = append(r.Comparisons, Comparison{
			Name: c.name, Values: values, Median: report.Median(values),
			Low: slices.Min(values), High: slices.Max(values), Goal: c.goal, Aim: c.aim, Less: c.less,
		})
	}
}

// Reached says whether the median is as good as bound.
func (c Comparison) Reached(bound float64) bool {
	if c.Less {
		return c.Median <= bound
	}
	return c.Median >= bound
}

// verdict is a word about the goal and the aim.
func (c Comparison) verdict() string {
	switch {
	case c.Goal == 0:
		return ""
	case c.Reached(c.Aim):
		return "aim reached"
	case c.Reached(c.Goal):
		return "goal reached"
	}
	return "MISSED"
}

// WriteFile writes the result as JSON.
func (r *Result) WriteFile(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// Print writes the result as tables.
func (r *Result) Print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	names := sortedKeys(r.Values)
	fmt.Fprintf(w, "median\t%s\n", strings.Join(names, "\t"))
	keys := map[string]bool{}
	for _, values := range r.Values {
		for key := range values {
			keys[key] = true
		}
	}
	for _, key := range sortedKeys(keys) {
		fmt.Fprint(w, key)
		for _, name := range names {
			fmt.Fprintf(w, "\t%s", figure(key, r.Values[name][key]))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "comparison\tmedian\tlow\thigh\tgoal\taim\t")
	for _, c := range r.Comparisons {
		goal, aim := "", ""
		if c.Goal > 0 {
			goal, aim = fmt.Sprintf("%.2f", c.Goal), fmt.Sprintf("%.2f", c.Aim)
		}
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%s\t%s\t%s\n", c.Name, c.Median, c.Low, c.High, goal, aim, c.verdict())
	}
	w.Flush()
	if len(r.Noise) > 0 {
		fmt.Fprintf(out, "\nThe machine was too noisy for these figures to say much:\n  %s\n", strings.Join(r.Noise, "\n  "))
	}
}

// figure is the median of values in the unit of the key.
func figure(key string, values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	v := report.Median(values)
	switch key[strings.LastIndexByte(key, '.')+1:] {
	case "goodput":
		return fmt.Sprintf("%.2f Gbit/s", v/1e9)
	case "packets":
		return fmt.Sprintf("%.0f kpps", v/1e3)
	case "ping":
		return fmt.Sprintf("%.3f ms", v*1e3)
	}
	return fmt.Sprintf("%.2f s/GB", v)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
