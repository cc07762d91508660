package control

import (
	"container/list"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestSourceOf(t *testing.T) {
	tests := []struct{ addr, want string }{
		{"192.0.2.7:1", "192.0.2.7/32"},
		{"[::ffff:192.0.2.7]:1", "192.0.2.7/32"},
		{"[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1:2::/64"},
		{"[fe80::1%eth0]:1", "fe80::/64"},
	}
	for _, tt := range tests {
		if got := sourceOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.addr))); got.String() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.addr, got, tt.want)
		}
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got := sourceOf(a.RemoteAddr()); got != (source{}) {
		t.Errorf("a pipe: %v", got)
	}
}

func TestHalfOpenEvictsTheHeaviest(t *testing.T) {
	h := halfOpen{limit: 5, perSource: 3, sources: map[source]*list.List{}}
	from := func(s string) *pending { return &pending{from: netip.MustParsePrefix(s)} }
	flood := []*pending{from("192.0.2.1/32"), from("192.0.2.1/32"), from("192.0.2.1/32")}
	for _, p := range flood {
		if evicted, _ := h.add(p); evicted != nil {
			t.Fatal("evicted below the bounds")
		}
	}
	if evicted, own := h.add(from("192.0.2.1/32")); evicted != flood[0] || !own {
		t.Errorf("the source's own oldest has to go first")
	}
	h.add(from("192.0.2.2/32"))
	h.add(from("192.0.2.3/32"))
	if evicted, own := h.add(from("192.0.2.4/32")); evicted != flood[1] || own {
		t.Errorf("the oldest of the heaviest source has to go")
	}
	if h.count != 5 || len(h.sources) != 4 {
		t.Errorf("%d from %d sources", h.count, len(h.sources))
	}
	h.remove(flood[0]) // is out already
	h.remove(flood[2])
	if h.count != 4 {
		t.Errorf("%d after a removal", h.count)
	}
}

func TestRatesForgetTheQuiet(t *testing.T) {
	r := newRates(1, 1, 2)
	now := time.Unix(1000, 0)
	a, b, c := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32"), netip.MustParsePrefix("192.0.2.3/32")
	steps := []struct {
		from  source
		after time.Duration
		want  bool
	}{{a, 0, true}, {b, 0, true}, {a, 0, false}, {c, 0, true}, {a, 0, false}, {b, 0, true}, {a, time.Second, true}}
	for i, s := range steps {
		now = now.Add(s.after)
		if got := r.allow(s.from, now); got != s.want {
			t.Errorf("step %d: %v", i, got)
		}
		if r.order.Len() > 2 || len(r.sources) != r.order.Len() {
			t.Fatalf("knows %d sources", r.order.Len())
		}
	}
}
