package report

import (
	"encoding/xml"
	"fmt"
	"io"
)

// The elements of a JUnit report, as continuous integration systems read it:
// a suite for each run, a case for each expectation.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitMessage `xml:"failure"`
		Skipped *junitMessage `xml:"skipped"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
	}
)

// WriteJUnit writes results as JUnit XML. The cases of an inconclusive run
// are skipped ones.
func WriteJUnit(w io.Writer, results []*Result) error {
	all := junitSuites{Name: "multilink-sim"}
	seconds := 0.0
	for _, r := range results {
		s := r.suite()
		all.Suites = append(all.Suites, s)
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Skipped += s.Skipped
		seconds += r.Seconds
	}
	all.Time = fmt.Sprintf("%.3f", seconds)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (r *Result) suite() junitSuite {
	s := junitSuite{
		Name: r.Scenario, Time: fmt.Sprintf("%.3f", r.Seconds),
		Properties: []junitProperty{
			{"backend", r.Backend}, {"impair", r.Impair}, {"seed", fmt.Sprint(r.Seed)},
			{"kernel", r.Environment.Kernel}, {"version", r.Environment.Version},
		},
		Cases: []junitCase{r.runCase()},
	}
	for _, e := range r.Expectations {
		c := junitCase{Class: r.Scenario, Name: e.Expr}
		if !e.OK {
			c.Failure = &junitMessage{e.Sides()}
		}
		s.Cases = append(s.Cases, c)
	}
	s.Tests = len(s.Cases)
	for i := range s.Cases {
		c := &s.Cases[i]
		if r.Verdict == Inconclusive {
			c.Failure, c.Skipped = nil, &junitMessage{"inconclusive: " + r.Reason}
			s.Skipped++
		} else if c.Failure != nil {
			s.Failures++
		}
	}
	return s
}

// runCase is the case that the run as such went well.
func (r *Result) runCase() junitCase {
	c := junitCase{Class: r.Scenario, Name: "run"}
	if r.Verdict == Fail && r.Reason != "" {
		c.Failure = &junitMessage{r.Reason}
	}
	return c
}
