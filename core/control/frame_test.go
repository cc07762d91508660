package control

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

var testStrategy = Strategy{
	Scheduler:   PerDirection{Up: "wrr", Down: "minrtt"},
	Reorder:     PerDirection{Up: "none", Down: "global"},
	RateControl: true, Retransmit: true, Equalize: "auto", Reports: "auto", Classifier: "rtp",
}

func testHello() Hello {
	return Hello{
		Version: Version, Software: "test 1", LinkID: 2, LinkName: "wlan0",
		ReceiverIndex: 7, Suites: []string{"aes-128-gcm"}, Strategy: testStrategy, MTU: 1400,
	}
}

func testWelcome() Welcome {
	return Welcome{
		ClientID: 1, Session: SessionRef{ID: "s1", Secret: Secret("0123456789abcdef")},
		Address4: netip.MustParsePrefix("10.8.0.2/24"), Gateway4: netip.MustParseAddr("10.8.0.1"),
		Address6: netip.MustParsePrefix("fd4d:4c::2/64"), Gateway6: netip.MustParseAddr("fd4d:4c::1"),
		MTU: 1400, DNS: []netip.Addr{netip.MustParseAddr("198.18.0.1")},
		ReceiverIndex: 9, UDPPort: 5410, Suite: "aes-128-gcm", Strategy: testStrategy,
	}
}

func testMessages() []Message {
	return []Message{
		testHello(), testWelcome(), Reject{Code: CodeBusy, Reason: "later"}, Ping{ID: 1 << 60}, Pong{ID: 2},
		Reconfigure{Strategy: testStrategy}, LinkPolicy{LinkID: 15, Rules: LinkRules{Role: "backup", Cap: 1e6, MaxRTT: 0.3, MaxLoss: 0.05}}, Goodbye{Reason: "bye"},
		QoS{Refused: "no"}, LinksGone{Receivers: []uint32{1, 1<<32 - 1}},
	}
}

func TestMessagesRoundTrip(t *testing.T) {
	for _, m := range testMessages() {
		frame, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(frame)
		k, body, err := readFrame(r, MaxMessage, nil)
		if err != nil || r.Len() != 0 {
			t.Fatalf("%T: %v, %d bytes left", m, err, r.Len())
		}
		got, err := decode(k, body)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, %v, want %+v", got, err, m)
		}
	}
}

// with is m with one thing changed.
func with[M Message](m M, change func(*M)) Message { change(&m); return m }

func TestImpossibleMessages(t *testing.T) {
	tests := []struct {
		name string
		m    Message
		want string
	}{
		{"link id", with(testHello(), func(h *Hello) { h.LinkID = 16 }), "link_id 16: must be below 16"},
		{"link name", with(testHello(), func(h *Hello) { h.LinkName = strings.Repeat("w", 16) }), "link_name has 16 bytes: at most 15"},
		{"escape sequence", with(testHello(), func(h *Hello) { h.LinkName = "\x1b[31m" }), "link_name has the unprintable character U+001B"},
		{"not UTF-8", with(testHello(), func(h *Hello) { h.Software = "\xff" }), "software is not UTF-8"},
		{"mtu", with(testHello(), func(h *Hello) { h.MTU = 1279 }), "mtu 1279: must be 1280..65535"},
		{"suites", with(testHello(), func(h *Hello) { h.Suites = make([]string, 17) }), "suites has 17 entries: at most 16"},
		{"id without secret", with(testHello(), func(h *Hello) { h.Session.ID = "x" }), "session needs both id and secret, or neither"},
		{"long secret", with(testHello(), func(h *Hello) { h.Session = SessionRef{"x", make(Secret, 65)} }), "session secret of 65 bytes: at most 64"},
		{"long scheduler", with(testHello(), func(h *Hello) { h.Strategy.Scheduler.Up = strings.Repeat("x", 65) }), "scheduler has 65 bytes: at most 64"},
		{"no session", with(testWelcome(), func(w *Welcome) { w.Session = SessionRef{} }), "session is missing"},
		{"no port", with(testWelcome(), func(w *Welcome) { w.UDPPort = 0 }), "udp_port is missing"},
		{"no address", with(testWelcome(), func(w *Welcome) { w.Address4, w.Address6 = netip.Prefix{}, netip.Prefix{} }), "neither address4 nor address6"},
		{"swapped families", with(testWelcome(), func(w *Welcome) { w.Gateway4 = w.Gateway6 }), "address4 10.8.0.2/24 with gateway4 fd4d:4c::1: not IPv4"},
		{"mapped address", with(testWelcome(), func(w *Welcome) { w.Gateway6 = netip.MustParseAddr("::ffff:1.2.3.4") }), "not IPv6"},
		{"long reason", Reject{Reason: strings.Repeat("x", 513)}, "reason has 513 bytes: at most 512"},
		{"cap", LinkPolicy{Rules: LinkRules{Cap: -1}}, "cap -1: must be 0..1e+15"},
		{"role", LinkPolicy{Rules: LinkRules{Role: "sometimes"}}, `role "sometimes": must be active, backup or off`},
		{"reconfigure", Reconfigure{Strategy{Equalize: "\n"}}, "equalize has the unprintable character U+000A"},
		{"links gone", LinksGone{Receivers: make([]uint32, MaxLinksGone+1)}, "receivers has 17 entries: at most 16"},
		{"goodbye", Goodbye{Reason: "\a"}, "reason has the unprintable character U+0007"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := encode(tt.m); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestMalformedBodies(t *testing.T) {
	tests := []struct{ name, body string }{
		{"empty", ""},
		{"null", "null"},
		{"array", "[]"},
		{"cut", `{"id":1`},
		{"more behind it", `{"id":1}{}`},
		{"wrong type", `{"id":"1"}`},
		{"negative", `{"id":-1}`},
		{"too large", `{"id":18446744073709551616}`},
		{"deep", strings.Repeat(`{"x":`, 20000) + "1" + strings.Repeat("}", 20000)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if m, err := decode(kindPing, []byte(tt.body)); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, %v", m, err)
			}
		})
	}
	if m, err := decode(kindPing, []byte(`{"id":1,"colour":"red"}`)); err != nil || m != (Ping{ID: 1}) {
		t.Errorf("a field of the future: %v, %v", m, err)
	}
	if m, err := decode(200, []byte("?")); m != nil || err != nil {
		t.Errorf("a type of the future: %v, %v", m, err)
	}
	if m, err := decode(kindHello, []byte(`{"version":2,"link_id":200}`)); err != nil || m.(Hello).Version != 2 {
		t.Errorf("a hello of another version: %v, %v", m, err)
	}
}

func TestReadFrameBounds(t *testing.T) {
	header := func(n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{4}, n) }
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"part of a header", []byte{4, 0}, io.ErrUnexpectedEOF},
		{"no body", header(3), io.ErrUnexpectedEOF},
		{"part of a body", append(header(3), 'x'), io.ErrUnexpectedEOF},
		{"one over the bound", header(101), ErrMalformed},
		{"4 GiB", header(1<<32 - 1), ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := readFrame(bytes.NewReader(tt.in), 100, nil); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	for _, in := range []string{"", "plain", "a\nb\x1b", "\xff\xfe", strings.Repeat("é", 400), strings.Repeat("x", 600)} {
		if err := checkText("text", printable(in, maxReason), maxReason); err != nil {
			t.Errorf("printable(%.20q): %v", in, err)
		}
	}
}

// FuzzDecode checks that whatever is accepted can be sent again and then
// means the same.
func FuzzDecode(f *testing.F) {
	for _, m := range testMessages() {
		frame, err := encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Add([]byte{1, 0, 0, 0, 2, '{', '}'})
	f.Add([]byte{9, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		k, body, err := readFrame(bytes.NewReader(in), MaxMessage, nil)
		if err != nil {
			return
		}
		m, err := decode(k, body)
		if m == nil || err != nil {
			return
		}
		frame, err := encode(m)
		if err != nil {
			t.Fatalf("accepted but not possible: %v", err)
		}
		k2, body2, err := readFrame(bytes.NewReader(frame), MaxMessage, nil)
		if err != nil || k2 != k {
			t.Fatalf("type %d came back as %d, %v", k, k2, err)
		}
		again, err := decode(k2, body2)
		if err != nil {
			t.Fatal(err)
		}
		frame2, err := encode(again)
		if err != nil || !bytes.Equal(frame, frame2) {
			t.Fatalf("%s became %s, %v", frame, frame2, err)
		}
	})
}
