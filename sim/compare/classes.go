package compare

import (
	"slices"
	"strings"
)

// Class is a class of points of a scenario with a scheduler: how the medians of
// its points are distributed.
type Class struct {
	Scenario  string `json:"scenario"`
	Class     string `json:"class"` // "all" is all of them
	Scheduler string `json:"scheduler"`
	Points    int    `json:"points"`
	// Benefit has the quantiles 5, 25, 50, 75 and 95 % of the aggregation
	// benefit.
	Benefit map[string]float64 `json:"benefit"`
	// NotUnderBest is the share of points with at least 0.95 of the best
	// link's goodput.
	NotUnderBest float64 `json:"not_under_best"`
	// Worst are the points with the least benefit, the least first.
	Worst []string `json:"worst"`

	benefits []float64 // ascending
}

// Parameters of what is said of a class.
const (
	allClasses  = "all"
	underBest   = 0.95
	worstPoints = 10
)

// classes gathers the points by class and scheduler.
func classes(all []Row) []Class {
	byClass := map[[3]string][]Row{}
	var order [][3]string
	for _, row := range all {
		if row.Point == "" || row.Kind != Tunnel || row.Metrics[benefitKey].N == 0 {
			continue
		}
		for _, class := range []string{allClasses, ClassOf(row.Point)} {
			key := [3]string{row.Scenario, class, row.Scheduler}
			if byClass[key] == nil {
				order = append(order, key)
			}
			byClass[key] = append(byClass[key], row)
		}
	}
	slices.SortStableFunc(order, func(a, b [3]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 || a[1] == b[1] {
			return c
		}
		if a[1] == allClasses || b[1] == allClasses {
			return map[bool]int{true: -1, false: 1}[a[1] == allClasses]
		}
		return strings.Compare(a[1], b[1])
	})
	var found []Class
	for _, key := range order {
		found = append(found, classOf(key, byClass[key]))
	}
	return found
}

func classOf(key [3]string, rows []Row) Class {
	c := Class{Scenario: key[0], Class: key[1], Scheduler: key[2], Points: len(rows), Benefit: map[string]float64{}}
	slices.SortStableFunc(rows, func(a, b Row) int {
		if x, y := a.Metrics[benefitKey].Median, b.Metrics[benefitKey].Median; x != y {
			return map[bool]int{true: -1, false: 1}[x < y]
		}
		return strings.Compare(a.Point, b.Point)
	})
	under := 0
	for i, row := range rows {
		c.benefits = append(c.benefits, row.Metrics[benefitKey].Median)
		if i < worstPoints {
			c.Worst = append(c.Worst, row.Point)
		}
		if row.Metrics[bestRatioKey].Median < underBest {
			under++
		}
	}
	for name, q := range map[string]float64{"p5": .05, "p25": .25, "p50": .5, "p75": .75, "p95": .95} {
		c.Benefit[name] = quantile(c.benefits, q)
	}
	c.NotUnderBest = 1 - float64(under)/float64(len(rows))
	return c
}
