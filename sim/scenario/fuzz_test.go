package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// maxFuzz keeps inputs to what the YAML parser reads quickly: its time grows
// with the square of the depth.
const maxFuzz = 4 << 10

func FuzzParse(f *testing.F) {
	f.Add([]byte(complete))
	f.Add([]byte(small))
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFuzz {
			t.Skip()
		}
		sc, err := Parse("fuzz.yaml", data, Options{})
		checkParsed(t, sc, err)
	})
}

func FuzzSet(f *testing.F) {
	for _, set := range []string{
		"client.scheduler=minrtt", "links.0.both.rate=5mbit", "links.wlan0.up={delay: 1ms}", "expect.0=dl.stall<1",
		"traffic.dl.size=1MB", "seed", "links.9.nat=no", "a.b.c.d=[1, {b: 2}]", "timeline=[{at: 1s, do: unplug, link: wlan0}]",
	} {
		f.Add(set)
	}
	f.Fuzz(func(t *testing.T, set string) {
		if len(set) > maxFuzz {
			t.Skip()
		}
		sc, err := Parse("fuzz.yaml", []byte(small), Options{Set: []string{set}})
		checkParsed(t, sc, err)
	})
}

// checkParsed holds what is true of every outcome: a fault has a place and a
// message of one line; what is accepted keeps the bounds the lab relies on,
// and its expectations can be judged.
func checkParsed(t *testing.T, sc *Scenario, err error) {
	t.Helper()
	if err != nil {
		var faults Errors
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("not Errors: %v", err)
		}
		for _, e := range faults {
			override := strings.HasPrefix(e.File, "--set ")
			if e.Message == "" || override == (e.Line > 0) || !override && e.Column < 1 {
				t.Fatalf("%#v", e)
			}
		}
		return
	}
	if len(sc.Links) < 1 || len(sc.Links) > maxLinks || sc.Duration <= 0 || sc.Name == "" {
		t.Fatalf("accepted: %+v", sc)
	}
	names := map[string]bool{}
	for _, l := range sc.Links {
		if names[l.Name] || len(l.Name) > maxInterfaceName || l.Up.Rate < 0 || l.Down.Rate < 0 {
			t.Fatalf("accepted: %+v", l)
		}
		names[l.Name] = true
	}
	for _, tr := range sc.Traffic {
		if tr.Start+tr.Duration > sc.Duration || tr.To < 1 || tr.To > 2 || tr.IP != 4 && tr.IP != 6 {
			t.Fatalf("accepted: %+v", tr)
		}
	}
	for _, a := range sc.Timeline {
		if a.At > sc.Duration || a.Link != "" && !names[a.Link] {
			t.Fatalf("accepted: %+v", a)
		}
	}
	if got := Evaluate(sc, nil); len(got) != len(sc.Expect) {
		t.Fatalf("%d of %d expectations judged", len(got), len(sc.Expect))
	}
}
