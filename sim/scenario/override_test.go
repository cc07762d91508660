package scenario

import (
	"testing"
	"time"
)

func TestOverrides(t *testing.T) {
	for _, c := range []struct {
		set  string
		want func(*Scenario) bool
	}{
		{"seed=9", func(sc *Scenario) bool { return sc.Seed == 9 }},
		{"client.scheduler=minrtt", func(sc *Scenario) bool { return sc.Client["scheduler"] == "minrtt" }},
		{"client.tun.mtu=1300", func(sc *Scenario) bool { return sc.Client["tun"].(map[string]any)["mtu"] == uint64(1300) }},
		{"client={scheduler: wrr}", func(sc *Scenario) bool { return sc.Client["scheduler"] == "wrr" }},
		{"links.1.down.delay=30ms", func(sc *Scenario) bool {
			return sc.Links[1].Down.Delay == 30*time.Millisecond && sc.Links[1].Down.Rate == 20e6 && sc.Links[1].Up.Delay == 0
		}},
		{"links.wwan0.name=usb0", func(sc *Scenario) bool { return sc.Links[1].Name == "usb0" }},
		{"links.wlan0.both.rate=5mbit", func(sc *Scenario) bool {
			return sc.Links[0].Up.Rate == 5e6 && sc.Links[0].Down.Rate == 5e6 && sc.Links[0].Up.Delay == 5*time.Millisecond
		}},
		{"links.wlan0.both={rate: 6mbit}", func(sc *Scenario) bool {
			return sc.Links[0].Up.Rate == 6e6 && sc.Links[0].Up.Delay == 0
		}},
		{"links.wlan0.up.rate=null", func(sc *Scenario) bool { return sc.Links[0].Up.Rate == 10e6 }},
		{"traffic.dl.streams=4", func(sc *Scenario) bool { return sc.Traffic[0].Streams == 4 }},
		{"expect.0=dl.stall <= 1", func(sc *Scenario) bool { return sc.Expect[0].Expr == "dl.stall <= 1" }},
		{"about=a=b", func(sc *Scenario) bool { return sc.About == "a=b" }},
		{"about=", func(sc *Scenario) bool { return sc.About == "" }},
	} {
		t.Run(c.set, func(t *testing.T) {
			if sc := parse(t, small, c.set); !c.want(sc) {
				t.Errorf("got %+v", sc)
			}
		})
	}
}

func TestOverridesInOrder(t *testing.T) {
	sc := parse(t, small, "seed=2", "seed=3", "links.0.both.loss.p=1%", "links.0.both.loss.r=10%")
	if want := (Loss{P: 0.01, R: 0.1, Bad: 1}); sc.Seed != 3 || sc.Links[0].Up.Loss != want {
		t.Errorf("seed %d, loss %+v", sc.Seed, sc.Links[0].Up.Loss)
	}
}

func TestBadOverrides(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"seed", "--set seed: must be path=value, such as client.scheduler=minrtt"},
		{"=3", "--set =3: must be path=value, such as client.scheduler=minrtt"},
		{"links..both=3", `--set links..both=3: the path "links..both" has an empty part`},
		{"links.2.nat=true", "--set links.2.nat=true: links has no entry 2: it has 2, counted from 0"},
		{"links.-1.nat=true", "--set links.-1.nat=true: links has no entry -1: it has 2, counted from 0"},
		{"links.wlan1.nat=true", `--set links.wlan1.nat=true: links has no entry "wlan1": did you mean "wlan0"?`},
		{"links.wlan0.both.rate=fast", `--set links.wlan0.both.rate=fast: rate = "fast": is not a number with a unit: must be a rate in bit/s, such as 800kbit, 50mbit or 1gbit`},
		{"links.wlan0.both.speed=1", `--set links.wlan0.both.speed=1: unknown key "speed" in an impairment: known: block, corrupt, delay, distribution, duplicate, jitter, loss, mtu, queue, rate, reorder, trace`},
		{"name.first=x", `--set name.first=x: name is "small": it has no "first" in it`},
		{"name.first.second=x", `--set name.first.second=x: name is "small": it has no "first" in it`},
		{"client={a", "--set client={a: the value is not YAML: could not find flow map content"},
		{"client.a=*b", "--set client.a=*b: the value is not YAML: anchors, aliases and tags of YAML are not part of the language"},
		{"expect.0=dl.godput > 1", `--set expect.0=dl.godput > 1: dl.godput > 1: dl has no "godput": did you mean "goodput"?`},
	} {
		t.Run(c.set, func(t *testing.T) {
			_, err := Parse("file.yaml", []byte(small), Options{Set: []string{c.set}})
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}
