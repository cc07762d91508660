package bench

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/multilink-vpn/multilink/sim/report"
)

// What a machine may do besides before the figures say little.
const (
	mostStolen = 0.02 // share of processor time taken by the hypervisor
	mostDrift  = 0.5  // spread of the reference's figures over its pairs, by their median
)

// processors reads how the machine's processor time was spent since it
// started: all of it, and what the hypervisor gave to others. Without
// /proc/stat both are 0, and nothing is known to be stolen.
func processors() (all, stolen float64) {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		v, err := strconv.ParseFloat(field, 64)
		// proc_stat(5): cpu user nice system idle iowait irq softirq steal; what
		// follows is part of user and nice.
		if err != nil || i > 8 {
			continue
		}
		all += v
		if i == 8 {
			stolen = v
		}
	}
	return all, stolen
}

// noise says why the figures are doubtful, one reason per line; none when they
// are not.
func noise(stolen float64, reference map[string][]float64) []string {
	var reasons []string
	if stolen > mostStolen {
		reasons = append(reasons, fmt.Sprintf("the hypervisor took %.0f %% of the processor time", 100*stolen))
	}
	for _, name := range sortedKeys(reference) {
		values := reference[name]
		if m := report.Median(values); len(values) > 1 && m > 0 {
			if spread := (slices.Max(values) - slices.Min(values)) / m; spread > mostDrift {
				reasons = append(reasons, fmt.Sprintf("%s of %s varied by %.0f %% between pairs", name, referenceName, 100*spread))
			}
		}
	}
	return reasons
}
