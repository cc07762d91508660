package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/netmon"
	"github.com/multilink-vpn/multilink/core/underlay"
)

func TestReachable(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	own4, own6 := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8:1::2")
	both := netmon.Interface{Addrs4: []netip.Addr{own4}, Addrs6: []netip.Addr{own6}, HasRoute4: true, HasRoute6: true}
	noRoute4 := both
	noRoute4.HasRoute4 = false
	only4 := netmon.Interface{Addrs4: []netip.Addr{own4}, HasRoute4: true}
	over4, over6 := target{own4, v4}, target{own6, v6}
	for name, c := range map[string]struct {
		servers []netip.Addr
		ifc     netmon.Interface
		family  string
		want    []target
	}{
		"order of the server":  {[]netip.Addr{v6, v4}, both, "any", []target{over6, over4}},
		"routes first":         {[]netip.Addr{v4, v6}, noRoute4, "any", []target{over6, over4}},
		"no IPv6 here":         {[]netip.Addr{v6, v4}, only4, "any", []target{over4}},
		"only IPv6 wanted":     {[]netip.Addr{v6, v4}, both, "6", []target{over6}},
		"only IPv4 wanted":     {[]netip.Addr{v6, v4}, both, "4", []target{over4}},
		"nothing in common":    {[]netip.Addr{v6}, only4, "any", nil},
		"no more than a bound": {slices.Repeat([]netip.Addr{v4}, 9), only4, "any", slices.Repeat([]target{over4}, maxAddresses)},
	} {
		if got := reachable(c.servers, c.ifc, c.family); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestResolver(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	answers := map[string][]netip.Addr{"good": {a, b}}
	lookup := func(_ context.Context, over underlay.Options, _ string) ([]netip.Addr, error) {
		if found := answers[over.Device]; found != nil {
			return found, nil
		}
		return nil, errors.New("no such host")
	}
	ask := func(r *resolver, device string) []netip.Addr {
		got, _ := r.addresses(t.Context(), underlay.Options{Device: device})
		return got
	}
	r := newResolver(config.HostPort{Host: "vpn.example.org"}, lookup)
	if got := ask(r, "bad"); got != nil {
		t.Errorf("before anything was found: %v", got)
	}
	if got := ask(r, "good"); !slices.Equal(got, []netip.Addr{a, b}) {
		t.Errorf("found %v", got)
	}
	if got := ask(r, "bad"); !slices.Equal(got, []netip.Addr{a, b}) {
		t.Errorf("what the other link found is not used: %v", got)
	}
	r.answered(b)
	if got := ask(r, "good"); !slices.Equal(got, []netip.Addr{b, a}) {
		t.Errorf("the one that answered is not first: %v", got)
	}
	if got := ask(newResolver(config.HostPort{Host: "::ffff:192.0.2.1"}, lookup), "bad"); !slices.Equal(got, []netip.Addr{a}) {
		t.Errorf("an address instead of a name: %v", got)
	}
}

// TestAnswered: every answer has its own time, so that three that take four
// seconds each are enough to connect.
func TestAnswered(t *testing.T) {
	server := netip.MustParseAddrPort("192.0.2.1:5410")
	refused := errors.New("refused")
	after := func(d time.Duration, err error) func(context.Context) error {
		return func(ctx context.Context) error {
			select {
			case <-time.After(d):
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	for _, tt := range []struct {
		name  string
		steps []func(context.Context) error
		want  string
	}{
		{"slow", []func(context.Context) error{after(4*time.Second, nil), after(4*time.Second, nil), after(4*time.Second, nil)}, ""},
		{"silent", []func(context.Context) error{after(time.Second, nil), after(6*time.Second, nil)},
			"no answer from the server at 192.0.2.1:5410 within 5s"},
		{"refused", []func(context.Context) error{after(time.Second, refused)}, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var err error
				for _, step := range tt.steps {
					if err = answered(t.Context(), server, step); err != nil {
						break
					}
				}
				if got := text(err); got != tt.want {
					t.Errorf("%q, want %q", got, tt.want)
				}
			})
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
