package compare

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/sim/scenario"
)

func TestReadPoints(t *testing.T) {
	const text = "# where it comes from\nname,links.0.both.rate,links.0.both.loss\nlow-1,5mbit,1%\n\nlow-2, 6mbit ,\n\"high-loss-3\",\"7mbit\",2%\n"
	points, err := ReadPoints("p.csv", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range points {
		got = append(got, p.Name+" "+ClassOf(p.Name)+" "+strings.Join(p.Set, " "))
	}
	want := []string{
		"low-1 low links.0.both.rate=5mbit links.0.both.loss=1%",
		"low-2 low links.0.both.rate=6mbit ",
		"high-loss-3 high-loss links.0.both.rate=7mbit links.0.both.loss=2%",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadPointsFaults(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"", "p.csv:1:1: empty"},
		{"# only this\n", "p.csv:1:1: empty"},
		{"seed,x\n", `p.csv:1:1: the first column is "seed": it must be name`},
		{"name\na\n", "p.csv:1:1: only names"},
		{"name,a,\n", "p.csv:1:8: a column without a key"},
		{"name,a,a\n", `p.csv:1:8: a second column "a"`},
		{"name,seed=1\n", `p.csv:1:6: "seed=1" is no key`},
		{"name,seed\n", "p.csv:1:1: no row"},
		{"name,seed\na,1\na,2\n", `p.csv:3:1: the name "a" is that of line 2 already`},
		{"name,seed\na b,1\n", `p.csv:2:1: name = "a b": must be`},
		{"name,seed\na,1,2\nb,1\n", "p.csv:2:1: 3 fields: the heading has 2"},
		{"name,seed\na\n", "p.csv:2:1: 1 fields: the heading has 2"},
		{"name,seed\na,\"1\n", "p.csv:"},
		{"name,seed\na,1\"2\n", "p.csv:2:"},
	} {
		_, err := ReadPoints("p.csv", strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: got %v, want %s", c.text, err, c.says)
		}
	}
}

// TestPlace: a value that the scenario does not take is shown in the table.
func TestPlace(t *testing.T) {
	const text = "name,links.0.both.rate,expect.0\nok,5mbit,dl.stall < 1\nbad,fast,dl.stal < 1\n"
	points, err := ReadPoints("p.csv", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	const base = "name: x\nduration: 5s\nlinks: [{name: a}]\ntraffic: [{name: dl, kind: tcp}]\nexpect: [dl.stall < 1]\n"
	_, err = scenario.Parse("x.yaml", []byte(base), scenario.Options{Set: points[1].Set})
	err = points[1].Place(err)
	var list scenario.Errors
	if !errors.As(err, &list) || len(list) != 2 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{`p.csv:3:5: rate = "fast"`, `p.csv:3:10: `} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant %s", err, want)
		}
	}
	if other := errors.New("other"); points[0].Place(other) != other {
		t.Error("an error that is no fault of the scenario was changed")
	}
	elsewhere := points[0].Place(scenario.Errors{{File: "x.yaml", Line: 2, Column: 1, Message: "wrong"}})
	if elsewhere.Error() != "x.yaml:2:1: wrong (at point ok)" {
		t.Errorf("got %v", elsewhere)
	}
}

func FuzzReadPoints(f *testing.F) {
	f.Add("name,a\nx,1\n")
	f.Add("# c\nname,a,b\nx,\"1\n2\",\ny,,\n")
	f.Add("name,a\nx\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		points, err := ReadPoints("p.csv", strings.NewReader(text))
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, p := range points {
			if names[p.Name] || !pointName.MatchString(p.Name) || len(p.Set) != len(p.places) || ClassOf(p.Name) == "" {
				t.Fatalf("point %+v of %q", p, text)
			}
			names[p.Name] = true
		}
	})
}
