package scenario

import (
	"os"
	"regexp"
	"testing"

	yaml "github.com/goccy/go-yaml"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// docsBase is what the examples of the documentation that are only part of a
// scenario are read over.
const docsBase = `
name: docs
duration: 20s
links:
  - {name: wlan0, both: {rate: 20mbit, delay: 10ms}}
  - {name: wwan0, both: {rate: 10mbit, delay: 40ms}}
traffic:
  - {name: dl, kind: tcp}
  - {name: echo, kind: ping}
`

// TestDocs reads every example of the documentation.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllSubmatch(text, -1)
	if len(blocks) < 5 {
		t.Fatalf("only %d examples", len(blocks))
	}
	schema := compileSchema(t)
	for _, block := range blocks {
		base, err := parseTree("base", []byte(docsBase))
		if err != nil {
			t.Fatal(err)
		}
		example, err := parseTree("docs/scenarios.md", block[1])
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
			continue
		}
		whole, err := yaml.Marshal(overlay(base, example).plainValue())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("testdata/docs.yaml", whole, Options{}); err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
		if err := schema.Validate(asJSON(t, whole)); err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
	}
}

// TestShipped reads the scenarios of the project.
func TestShipped(t *testing.T) {
	names := map[string]bool{}
	for _, file := range shippedScenarios(t) {
		sc, err := Load(file, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		if names[sc.Name] || sc.About == "" || len(sc.Expect) == 0 {
			t.Errorf("%s: the name must be unique, and about and expect there", file)
		}
		names[sc.Name] = true
	}
}
