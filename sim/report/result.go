// Package report writes what a run found: JSON, JUnit and tables.
package report

// Verdict says how a run ended.
type Verdict string

// The verdicts. Inconclusive means that the emulator could not keep its
// accuracy, which says nothing about the product.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Inconclusive Verdict = "inconclusive"
)

// Result is what one run of a scenario found, in the form of `run --json`.
type Result struct {
	Scenario string  `json:"scenario"`
	Backend  string  `json:"backend"`
	Impair   string  `json:"impair,omitempty"`
	Seed     uint64  `json:"seed"`
	Verdict  Verdict `json:"verdict"`
	// Reason says why a run is inconclusive, or what broke it.
	Reason       string         `json:"reason,omitempty"`
	Measurements map[string]any `json:"measurements"`
	Expectations []Expectation  `json:"expectations"`
	// Series are measurements over time, by name ("dl.goodput").
	Series      map[string]Series `json:"series,omitempty"`
	Emulator    any               `json:"emulator,omitempty"`
	Environment Environment       `json:"environment"`
	// Seconds is the wall time the run took.
	Seconds float64 `json:"seconds"`
}

// Expectation is one judged assertion. Left and Right are the values of the
// two sides of a comparison, nil where the expression is not one.
type Expectation struct {
	Expr  string `json:"expr"`
	OK    bool   `json:"ok"`
	Left  any    `json:"left,omitempty"`
	Right any    `json:"right,omitempty"`
	Error string `json:"error,omitempty"`
}

// Series is one measurement over time: T in seconds since the start of the
// run, V in the unit of the measurement.
type Series struct {
	T []float64 `json:"t"`
	V []float64 `json:"v"`
}

// Environment is what is needed to repeat a run.
type Environment struct {
	Kernel   string            `json:"kernel"`
	Version  string            `json:"version"`
	Go       string            `json:"go"`
	CPUs     int               `json:"cpus"`
	Sysctls  map[string]string `json:"sysctls,omitempty"`
	Commands []string          `json:"commands"`
}
