package sched

import (
	"os"
	"strings"
	"testing"
)

// TestDocs holds docs/schedulers.md to the code: every scheduler has a row in
// a table, and the worked example is the one that is compiled here.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/schedulers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		if !strings.Contains(string(page), "\n| `"+name+"` | ") {
			t.Errorf("%s has no row", name)
		}
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(page), "```go\n// roundRobin")
	code, _, found := strings.Cut(code, "```")
	if !found || !strings.Contains(string(example), code) {
		t.Error("the worked example differs from example_test.go")
	}
}
