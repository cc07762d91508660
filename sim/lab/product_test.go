package lab

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/sim/program"
	"github.com/multilink-vpn/multilink/sim/report"
)

// The scenarios here run with a fake product, which has no tunnel: their
// traffic goes past it.
const withProduct = `
name: with-product
client: {scheduler: minrtt}
duration: 1s
links: [{name: wlan0, both: {delay: 1ms}}]
traffic: [{name: echo, kind: ping, interval: 50ms, duration: 1s, via: "link:wlan0"}]
`

func TestProductIsConfiguredAndAsked(t *testing.T) {
	r := runs(t, withProduct+`
timeline:
  - {at: 0.2s, do: reload-client, client: {scheduler: wrr}}
expect:
  - client.scheduler == "wrr"
  - client.links.wlan0.state == "up"
  - client.counters.packets == 5
  - client.resolver == "nameserver 198.18.0.1\n"
  - server.links.eth0.state == "up"
`, Options{Binary: asProduct(t, fakeWell)})
	holds(t, r)
	if r.Environment.Version != "multilink fake" || len(r.Environment.Commands) != 2 {
		t.Errorf("environment %+v", r.Environment)
	}
	if !strings.Contains(r.Environment.Commands[1], "client --config /run/multilink-sim/") {
		t.Errorf("commands %v", r.Environment.Commands)
	}
}

func TestLinksComeUpBeforeTheRun(t *testing.T) {
	r := runs(t, withProduct+`
expect: [client.asked > 5]
`, Options{Binary: asProduct(t, fakeLate)})
	holds(t, r)
}

func TestProductIsKilledAndStarted(t *testing.T) {
	needRoot(t)
	sc := parse(t, withProduct+`
timeline:
  - {at: 0.1s, do: kill-client}
  - {at: 0.2s, do: kill-server}
  - {at: 0.3s, do: start-server}
  - {at: 0.4s, do: start-client}
`)
	r := newRun(sc, Options{Impair: impairUser, Binary: asProduct(t, fakeWell), Log: testLog{t}}, sc.Name)
	err := r.within(context.Background(), func() error {
		if err := r.measure(context.Background()); err != nil {
			return err
		}
		for _, p := range []*program.Program{r.product.server.process, r.product.client.process} {
			receive(t, p.Done(), "the end of the "+p.Name())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// A killed program leaves its socket, which the fake does not replace.
	broken := strings.Join(r.broken, "\n")
	if !strings.Contains(broken, "the client ended by itself: exit status 1") || !strings.Contains(broken, "address already in use") {
		t.Errorf("broken: %s", broken)
	}
	if len(r.machine.Commands) != 4 {
		t.Errorf("commands %v", r.machine.Commands)
	}
}

func TestClientIsSuspended(t *testing.T) {
	r := runs(t, withProduct+`
timeline:
  - {at: 0.1s, do: suspend-client}
  - {at: 0.3s, do: resume-client}
`, Options{Binary: asProduct(t, fakeWell)})
	holds(t, r)
}

func TestProductThatMisbehaves(t *testing.T) {
	for how, want := range map[string]string{
		fakeRefuse: "refused",
		fakeCrash:  "a fake disaster",
		fakeDeaf:   "did not end within",
		fakeStuck:  "the client is not up after 15s: its state is connecting",
	} {
		t.Run(how, func(t *testing.T) {
			if how == fakeStuck && testing.Short() {
				t.Skip("takes as long as the testbed's patience")
			}
			r := runs(t, withProduct, Options{Binary: asProduct(t, how)})
			if r.Verdict != report.Fail || !strings.Contains(r.Reason, want) {
				t.Errorf("verdict %s: %s; want %q", r.Verdict, r.Reason, want)
			}
		})
	}
}

func TestProductIsNotThere(t *testing.T) {
	needRoot(t)
	sc := parse(t, withProduct)
	_, err := Run(context.Background(), sc, Options{Impair: impairUser})
	if !errors.Is(err, ErrMachine) {
		t.Errorf("without a binary: %v", err)
	}
	_, err = Run(context.Background(), sc, Options{Impair: impairUser, Binary: "/nonexistent"})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("with one that is not there: %v", err)
	}
}

func TestInterruptedWhileStarting(t *testing.T) {
	needRoot(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := Run(ctx, parse(t, withProduct), Options{Impair: impairUser, Binary: asProduct(t, fakeStuck)})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
	if left := leftovers(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestNeedsProduct(t *testing.T) {
	const bare = `
name: x
links: [{name: wlan0}]
traffic: [{name: echo, kind: ping, duration: 1s, via: "link:wlan0"}]
`
	for text, want := range map[string]bool{
		bare:                              false,
		bare + "client: {scheduler: wrr}": true,
		bare + "timeline: [{at: 0s, do: kill-server}]":            true,
		bare + "timeline: [{at: 0s, do: blackhole, link: wlan0}]": false,
		bare + "expect: [client.counters.x == 0]":                 true,
		bare + "expect: [echo.loss == 0]":                         false,
		strings.Replace(bare, `, via: "link:wlan0"`, "", 1):       true,
		"name: x\nlinks: [{name: wlan0}]\nduration: 1s\n":         true,
	} {
		if got := needsProduct(parse(t, text)); got != want {
			t.Errorf("%s\nneeds the product: %v, want %v", text, got, want)
		}
	}
}
