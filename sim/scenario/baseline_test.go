package scenario

import "testing"

const baselineText = `
name: base
baseline: alone
duration: 5s
client: {scheduler: wrr}
links:
  - {name: a0, both: {rate: 8mbit}}
  - {name: b0, both: {rate: 4mbit}, present: false}
bottlenecks: [{name: street, links: [a0, b0], both: {rate: 6mbit}}]
traffic:
  - {name: dl, kind: tcp, ip: 6}
  - {name: echo, kind: ping}
  - {name: other, kind: tcp, via: "link:a0"}
timeline:
  - {at: 1s, link: b0, do: plug}
  - {at: 2s, do: kill-server}
expect: [dl.goodput > 0]
`

func TestSingle(t *testing.T) {
	sc, err := Parse("x.yaml", []byte(baselineText), Options{})
	if err != nil {
		t.Fatal(err)
	}
	alone := Single(sc, 1, BaselineAlone)
	if len(alone.Links) != 1 || !alone.Links[0].Present || len(alone.Traffic) != 2 || alone.Traffic[0].Via.Kind != "tunnel" ||
		alone.Timeline != nil || alone.Expect != nil || alone.Baseline != "" || alone.Client["scheduler"] != "wrr" ||
		len(alone.Bottlenecks) != 1 || len(alone.Bottlenecks[0].Links) != 1 {
		t.Errorf("alone: %+v", alone)
	}
	bare := Single(sc, 1, BaselineBare)
	if bare.Client != nil || bare.Traffic[0].Via != (Via{Kind: "link", Link: "b0"}) || bare.Traffic[0].IP != 4 {
		t.Errorf("bare: %+v", bare)
	}
	if len(sc.Links) != 2 || sc.Links[1].Present || len(sc.Bottlenecks[0].Links) != 2 || sc.Traffic[0].Via.Kind != "tunnel" {
		t.Errorf("the scenario was changed: %+v", sc)
	}
}

func TestByMPTCP(t *testing.T) {
	sc, err := Parse("x.yaml", []byte(baselineText), Options{})
	if err != nil {
		t.Fatal(err)
	}
	by := ByMPTCP(sc)
	if len(by.Traffic) != 2 || by.Traffic[0].Via.Kind != "mptcp" || by.Traffic[0].IP != 4 || by.Traffic[1].Via.Link != "a0" {
		t.Errorf("traffic: %+v", by.Traffic)
	}
	if len(by.Timeline) != 1 || by.Timeline[0].Do != "plug" || len(by.Links) != 2 || by.Client != nil {
		t.Errorf("%+v", by)
	}
	sc.Traffic = sc.Traffic[1:2]
	if ByMPTCP(sc) != nil {
		t.Error("MPTCP carries no ping")
	}
}
