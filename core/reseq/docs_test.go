package reseq

import (
	"os"
	"strings"
	"testing"
)

// TestDocs: every resequencer has a row in a table of docs/schedulers.md.
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
}
