package report

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func testPage() *Page {
	return &Page{
		Title: `</script><b>"home"`, Lead: "One run.",
		Facts:      []Fact{{"seed", "7"}},
		Schedulers: []string{"earliest"},
		Metrics:    []Metric{{Key: "goodput", Title: "Goodput", Unit: "bit/s"}},
		Scenarios: []PageScenario{{Name: "home", About: "</script>", Rows: []PageRow{
			{Label: "earliest", Metrics: map[string]Estimate{"goodput": {Median: 5e6, Low: 4e6, High: 6e6, N: 5}}}}}},
		Commands: []string{"multilink client --config <file>"}, Environment: []Fact{{"kernel", "6.1"}},
	}
}

// TestPageStandsAlone: a page asks for nothing, and its data comes back as it
// went in, whatever is in it.
func TestPageStandsAlone(t *testing.T) {
	var out bytes.Buffer
	if err := WriteHTML(&out, testPage()); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, asks := range []string{`<link\b`, `\bsrc\s*=`, `@import`, `url\(`, `href="http`, `\bfetch\(`, `XMLHttpRequest`, `\bimport\(`} {
		if found := regexp.MustCompile(asks).FindString(page); found != "" {
			t.Errorf("asks for something else: %s", found)
		}
	}
	_, rest, _ := strings.Cut(page, `<script id="data" type="application/json">`)
	text, _, _ := strings.Cut(rest, "</script>")
	var data Page
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if data.Title != testPage().Title || data.Scenarios[0].Rows[0].Metrics["goodput"].High != 6e6 {
		t.Errorf("got %+v", data)
	}
	for _, part := range []string{"uPlot", "The MIT License", "&lt;/script&gt;&lt;b&gt;", "multilink client --config &lt;file&gt;"} {
		if !strings.Contains(page, part) {
			t.Errorf("no %s in the page", part)
		}
	}
}
