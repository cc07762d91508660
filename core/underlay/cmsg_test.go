package underlay

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestControlRoundTrip(t *testing.T) {
	for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
		local := netip.MustParseAddr(addr)
		for _, v6 := range []bool{true, local.Is6()} {
			oob := appendLocal(make([]byte, 0, oobLen), v6, local)
			got, err := parseControl(oob)
			if err != nil || got.local != local || got.segment != 0 {
				t.Errorf("%s, v6 %v: %+v, %v", addr, v6, got, err)
			}
			if n := len(appendSegment(oob, 1400)); n > oobLen {
				t.Errorf("%d bytes of control messages, room for %d", n, oobLen)
			}
		}
	}
}

func TestParseControl(t *testing.T) {
	gro := func(segment uint32) []byte {
		oob, data := appendControl(nil, unix.IPPROTO_UDP, unix.UDP_GRO, 4)
		binary.NativeEndian.PutUint32(data, segment)
		return oob
	}
	unknown, _ := appendControl(nil, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 4)
	short, _ := appendControl(nil, unix.IPPROTO_UDP, unix.UDP_GRO, 2)
	for _, test := range []struct {
		name string
		oob  []byte
		want int
		ok   bool
	}{
		{"none", nil, 0, true},
		{"run", gro(1400), 1400, true},
		{"behind another", append(unknown, gro(7)...), 7, true},
		{"too short to hold a size", short, 0, true},
		{"negative", gro(1 << 31), 0, false},
		{"cut header", append(gro(9), 1, 2, 3), 9, true},
		{"length 0", make([]byte, 16), 0, false},
	} {
		got, err := parseControl(test.oob)
		if (err == nil) != test.ok || err == nil && got.segment != test.want {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
	}
}

// TestAge: the kernel's time of arrival is understood, and one that cannot be
// counts as now.
func TestAge(t *testing.T) {
	arrived := time.Unix(1_800_000_000, 5_000_000)
	oob, data := appendControl(nil, unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, int(unsafe.Sizeof(unix.Timespec{})))
	*(*unix.Timespec)(unsafe.Pointer(&data[0])) = unix.NsecToTimespec(arrived.UnixNano())
	got, err := parseControl(oob)
	if err != nil || got.at != arrived.UnixNano() {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, test := range []struct{ waited, want time.Duration }{
		{30 * time.Millisecond, 30 * time.Millisecond},
		{0, 0},
		{-time.Millisecond, 0}, // the clock was set back
		{maxAge, 0},
		{365 * 24 * time.Hour, 0}, // the clock was set forward
	} {
		if got := age(got.at, arrived.Add(test.waited).UnixNano()); got != test.want {
			t.Errorf("read after %v: age %v, want %v", test.waited, got, test.want)
		}
	}
	if got := age(0, arrived.UnixNano()); got != 0 {
		t.Errorf("age %v of a message without a time", got)
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(appendSegment(appendLocal(nil, true, netip.MustParseAddr("2001:db8::1")), 1400))
	f.Add(appendLocal(nil, false, netip.MustParseAddr("192.0.2.1")))
	f.Fuzz(func(t *testing.T, oob []byte) {
		if got, err := parseControl(oob); err == nil && got.segment < 0 {
			t.Fatalf("%+v", got)
		}
	})
}

func TestRawAddrRoundTrip(t *testing.T) {
	for _, test := range []struct {
		addr string
		v6   bool
		len  uint32
	}{
		{"192.0.2.1:5410", false, unix.SizeofSockaddrInet4},
		{"192.0.2.1:5410", true, unix.SizeofSockaddrInet6},
		{"[2001:db8::1]:65535", true, unix.SizeofSockaddrInet6},
		{"[fe80::1%3]:1", true, unix.SizeofSockaddrInet6},
	} {
		var raw rawAddr
		want := netip.MustParseAddrPort(test.addr)
		if n := raw.set(test.v6, want); n != test.len || raw.addrPort() != want {
			t.Errorf("%s: %d bytes, %s", test.addr, n, raw.addrPort())
		}
	}
}

func TestRunLen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.IntRange(1, 300000).Draw(t, "data")
		segment := rapid.IntRange(1, 65507).Draw(t, "segment")
		n := runLen(data, segment)
		switch {
		case n < 1 || n > data:
			t.Fatalf("%d bytes of %d", n, data)
		case n < data && n%segment != 0:
			t.Fatalf("%d bytes are not whole datagrams of %d", n, segment)
		case n > segment && (n > maxRunBytes || datagrams(n, segment) > maxRun):
			t.Fatalf("%d bytes in datagrams of %d are too many", n, segment)
		case n < data && n+segment <= maxRunBytes && datagrams(n, segment) < maxRun:
			t.Fatalf("%d bytes, there is room for another %d", n, segment)
		}
	})
}
