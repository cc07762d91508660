package scenario

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	yaml "github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("scenario.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("scenario.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// asJSON reads YAML the way an editor's YAML server does.
func asJSON(t *testing.T, data []byte) any {
	t.Helper()
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// shippedScenarios are those of the project.
func shippedScenarios(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../scenarios/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	return files
}

func TestSchemaAcceptsScenarios(t *testing.T) {
	schema := compileSchema(t)
	texts := map[string][]byte{"complete": []byte(complete), "small": []byte(small)}
	for _, file := range shippedScenarios(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = data
	}
	for name, data := range texts {
		if err := schema.Validate(asJSON(t, data)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaRefuses holds that the schema is not laxer than it can be.
func TestSchemaRefuses(t *testing.T) {
	schema := compileSchema(t)
	for _, set := range []string{
		"colour=red", "name=Big Name", "seed=-1", "links=[]", "links.0.name=abcdefghijklmnop",
		"links.0.both.rate=50mbps", "links.0.both.rate=-5mbit", "links.0.both.loss=0.5", "links.0.both.delay=10",
		"links.0.both.queue=100", "links.0.both.trace=x", "links.0.both.mtu=20", "links.0.both.loss={p: 1%}",
		"traffic.0.kind=tpc", "traffic.0.interval=1s", "traffic.0.to=3", "traffic.0.via=air",
		"timeline=[{at: 1s, do: explode}]", "timeline=[{at: 1s, do: plug}]", "timeline=[{at: 1s, do: plug, link: a, client: {}}]",
		"timeline=[{at: 1s, do: rebind, link: a, every: 1s}]",
	} {
		root, err := parseTree("small", []byte(small))
		if err != nil {
			t.Fatal(err)
		}
		if err := applyOverride(root, set); err != nil {
			t.Fatal(err)
		}
		text, err := yaml.Marshal(root.plainValue())
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(asJSON(t, text)) == nil {
			t.Errorf("%s is accepted", set)
		}
	}
}

// TestSchemaHasEveryKey compares the keys of the schema with those the decoder
// names when it refuses one.
func TestSchemaHasEveryKey(t *testing.T) {
	doc := asJSON(t, Schema()).(map[string]any)
	defs := doc["$defs"].(map[string]any)
	keys := func(v any) []string {
		return slices.Sorted(maps.Keys(v.(map[string]any)["properties"].(map[string]any)))
	}
	unknown := "nothing-is-like-this"
	for what, schema := range map[string]any{
		"a scenario": doc, "a link": defs["link"], "an impairment": defs["impairment"],
		"a bottleneck": defs["bottleneck"], "a traffic": defs["traffic"], "an action": defs["action"],
	} {
		text := "name: x\n" + unknown + ": 1\nlinks: [{name: a, " + unknown + ": 1, up: {" + unknown + ": 1}}]\n" +
			"bottlenecks: [{name: b, links: [a], " + unknown + ": 1}]\ntraffic: [{name: t, kind: tcp, " + unknown + ": 1}]\n" +
			"timeline: [{at: 1s, do: up, link: a, " + unknown + ": 1}]\n"
		_, err := Parse("x", []byte(text), Options{})
		if err == nil {
			t.Fatal("unknown keys were accepted")
		}
		_, after, _ := strings.Cut(err.Error(), "in "+what+": known: ")
		line, _, _ := strings.Cut(after, "\n")
		if diff := cmp.Diff(strings.Split(line, ", "), keys(schema)); diff != "" {
			t.Errorf("%s (-decoder +schema)\n%s", what, diff)
		}
	}
	kinds := defs["traffic"].(map[string]any)["properties"].(map[string]any)["kind"].(map[string]any)["enum"].([]any)
	if len(kinds) != len(trafficKinds) {
		t.Errorf("kinds: %v", kinds)
	}
	actions := defs["action"].(map[string]any)["properties"].(map[string]any)["do"].(map[string]any)["enum"].([]any)
	if len(actions) != len(actionKeys) {
		t.Errorf("actions: %v", actions)
	}
}
