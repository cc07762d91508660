package scenario

import (
	"strings"

	"github.com/multilink-vpn/multilink/sim/report"
)

// Verdict weighs what was found. What no run may pass with (broken) counts
// however accurate the run was; the expectations only if there is no doubt
// about that (unsure).
func Verdict(broken, unsure []string, judged []report.Expectation) (report.Verdict, string) {
	if len(broken) > 0 {
		return report.Fail, strings.Join(broken, "\n")
	}
	if len(unsure) > 0 {
		return report.Inconclusive, strings.Join(unsure, "; ")
	}
	for _, e := range judged {
		if !e.OK {
			return report.Fail, ""
		}
	}
	return report.Pass, ""
}
