package virtual

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/sim/report"
)

func TestExecIsRun(t *testing.T) {
	const text = `
name: exec
links:
  - {name: a, both: {rate: 3mbit, delay: 5ms, loss: 1%}}
  - {name: b, both: {rate: 5mbit, delay: 25ms}}
client: {scheduler: {up: redundant, down: wrr}}
traffic: [{name: dl, kind: tcp, duration: 4s}]
expect: [dl.goodput > 1e6, dl.goodput > capacity.down]
`
	ctx := context.Background()
	seed := uint64(5)
	var lines int
	there, err := Exec(ctx, parse(t, text), Options{Seed: &seed, Progress: func(p Progress) {
		if p.Total > 0 {
			lines++
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	here, err := Run(ctx, parse(t, text), Options{Seed: &seed})
	if err != nil {
		t.Fatal(err)
	}
	if lines < 4 {
		t.Errorf("%d reports of progress", lines)
	}
	log := func(r *report.Result) any {
		if h, ok := r.Emulator.(Health); ok {
			return h.Log
		}
		return r.Emulator.(map[string]any)["packet_log"]
	}
	if log(there) != log(here) || there.Seed != seed || there.Verdict != report.Fail {
		t.Errorf("there %v, here %v", there.Emulator, here.Emulator)
	}
	a, b := at(there.Measurements, "dl.goodput"), at(here.Measurements, "dl.goodput")
	if a != b || a == nil {
		t.Errorf("goodput %v there, %v here", a, b)
	}
}

func TestExecErrors(t *testing.T) {
	sc := parse(t, "name: x\nduration: 2s\nlinks: [{name: a, both: {rate: 1mbit}}]", "client.scheduler=fastest")
	if _, err := Exec(context.Background(), sc, Options{}); err == nil || !strings.Contains(err.Error(), "fastest") {
		t.Errorf("an unknown scheduler: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := Exec(ctx, parse(t, everything), Options{Progress: func(Progress) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestMainTakesAnything(t *testing.T) {
	for _, text := range []string{"", "{", "{}", `{"Scenario":{}}`} {
		var out bytes.Buffer
		if code := Main(strings.NewReader(text), &out); code != 0 || !strings.Contains(out.String(), "error") && text != `{"Scenario":{}}` {
			t.Errorf("%q: status %d, %s", text, code, out.String())
		}
	}
}

// TestExecWithoutMain: a program that does not call Main is told so, not
// started by itself without end.
func TestExecWithoutMain(t *testing.T) {
	t.Setenv(childVariable, "1")
	_, err := Exec(context.Background(), parse(t, "name: x\nduration: 1s\nlinks: [{name: a}]\n"), Options{})
	if !errors.Is(err, ErrNotWired) {
		t.Errorf("got %v", err)
	}
}
