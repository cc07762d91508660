package report

// Metric is a figure by which runs are compared.
type Metric struct {
	Key   string `json:"key"`
	Title string `json:"title"`
	// Unit is "bit/s", "s", "ratio" (of 1), "share" (shown as a percentage) or
	// "" of an index.
	Unit          string `json:"unit"`
	About         string `json:"about"`
	LowerIsBetter bool   `json:"lower_is_better,omitempty"`
}

// Estimate is the median of a sample with a confidence interval for it by order
// statistics, which assumes nothing about the distribution.
type Estimate struct {
	Median float64 `json:"median"`
	// Low and High bound the interval. With fewer than 6 values no interval
	// reaches 95 %: it is the range then, and Level says how sure that is.
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Level float64 `json:"level"` // 0 of one value
	N     int     `json:"n"`
}

// Held says how often an expectation held, with the medians of its sides.
type Held struct {
	Expr string `json:"expr"`
	Held int    `json:"held"`
	Runs int    `json:"runs"`
	// Left and Right are medians over the runs; missing where the expression
	// is no comparison of numbers.
	Left  *float64 `json:"left,omitempty"`
	Right *float64 `json:"right,omitempty"`
	Error string   `json:"error,omitempty"` // of the last run that had one
}

// Sides are the values of the two sides, or why there are none.
func (h Held) Sides() string {
	switch {
	case h.Error != "":
		return h.Error
	case h.Left == nil || h.Right == nil:
		return ""
	}
	return Expectation{Left: *h.Left, Right: *h.Right}.Sides()
}

// Page is what a report shows: one run, several, or a comparison.
type Page struct {
	Title string `json:"title"`
	Lead  string `json:"lead"`
	Facts []Fact `json:"facts"`
	// Schedulers are those compared, in the order of their colours.
	Schedulers []string       `json:"schedulers"`
	Metrics    []Metric       `json:"metrics"`
	Overall    []PageOverall  `json:"overall,omitempty"`
	Classes    []PageClass    `json:"classes,omitempty"`
	Scenarios  []PageScenario `json:"scenarios"`
	Failures   []Fact         `json:"failures,omitempty"`
	Commands   []string       `json:"commands"`
	// Environment is of the machines the runs were on.
	Environment []Fact `json:"environment"`
}

// Fact is a name with what there is to say about it.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// PageOverall is a scheduler over all scenarios.
type PageOverall struct {
	Scheduler string  `json:"scheduler"`
	First     int     `json:"first"` // scenarios in which none is significantly better
	Of        int     `json:"of"`
	MeanRank  float64 `json:"mean_rank"`
}

// PageClass is a class of points: the distribution of the aggregation benefit
// over them, by scheduler.
type PageClass struct {
	Scenario string         `json:"scenario"`
	Class    string         `json:"class"`
	Points   int            `json:"points"`
	Benefit  []Distribution `json:"benefit"`
	// NotUnderBest are the shares of points that are not under the best link.
	NotUnderBest []float64 `json:"not_under_best"`
	// Worst are the points with the least benefit of the first scheduler.
	Worst []PagePoint `json:"worst,omitempty"`
}

// PagePoint is a point and what it sets.
type PagePoint struct {
	Point   string    `json:"point"`
	Benefit float64   `json:"benefit"`
	Links   []Network `json:"links"`
}

// Distribution is a sample, ascending.
type Distribution struct {
	Label  string    `json:"label"`
	Values []float64 `json:"values"`
}

// Network is a link or a bottleneck in words.
type Network struct {
	Name string `json:"name"`
	Is   string `json:"is"`
}

// PageScenario is one scenario.
type PageScenario struct {
	Name         string            `json:"name"`
	About        string            `json:"about"`
	Backend      string            `json:"backend"`
	Network      []Network         `json:"network"`
	Rows         []PageRow         `json:"rows"`
	Timelines    []PageTimeline    `json:"timelines"`
	Delays       []Distribution    `json:"delays"` // round-trip times, s
	Expectations []PageExpectation `json:"expectations"`
	// Events are what the timeline does, and when.
	Events []PageEvent `json:"events,omitempty"`
}

// PageRow is a scheduler or a baseline in a scenario.
type PageRow struct {
	Label    string              `json:"label"`
	Baseline bool                `json:"baseline,omitempty"`
	Rank     int                 `json:"rank,omitempty"` // 1 is the best, or tied with it
	Note     string              `json:"note,omitempty"` // what is wrong with some of the runs
	Metrics  map[string]Estimate `json:"metrics"`
}

// PageTimeline is one run over time, in bins from time 0 on.
type PageTimeline struct {
	Label   string     `json:"label"`
	Bin     float64    `json:"bin"` // s
	Goodput []float64  `json:"goodput"`
	Links   []PageLine `json:"links"` // what each link carries
}

// PageLine is a named line of a chart.
type PageLine struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"`
}

// PageEvent is something that happens during a run.
type PageEvent struct {
	At   float64 `json:"at"` // s
	What string  `json:"what"`
}

// PageExpectation is an expectation, by scheduler.
type PageExpectation struct {
	Expr string     `json:"expr"`
	By   []PageHeld `json:"by"`
}

// PageHeld is how an expectation fared with a scheduler.
type PageHeld struct {
	Label string `json:"label"`
	Held  int    `json:"held"`
	Runs  int    `json:"runs"`
	Sides string `json:"sides"` // the values of its sides, or why there are none
}
