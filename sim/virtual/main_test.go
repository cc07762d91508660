package virtual

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == Subcommand {
		os.Exit(Main(os.Stdin, os.Stdout))
	}
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}

// parse reads a scenario.
func parse(t testing.TB, text string, set ...string) *scenario.Scenario {
	t.Helper()
	sc, err := scenario.Parse("test.yaml", []byte(text), scenario.Options{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// runText runs a scenario here.
func runText(t testing.TB, text string, set ...string) *report.Result {
	t.Helper()
	r, err := Run(context.Background(), parse(t, text, set...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	failed := false
	for _, e := range r.Expectations {
		if !e.OK {
			t.Errorf("%s: %s", e.Expr, e.Sides())
			failed = true
		}
	}
	if failed {
		var text strings.Builder
		_ = report.WriteText(&text, r)
		t.Log(text.String())
	}
	return r
}
