package gso

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestSumEqualsTheNaiveOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "ones") {
			b = bytes.Repeat([]byte{0xff}, len(b))
		}
		start := rapid.Uint64Range(0, 0x1ffff).Draw(t, "start")
		got := sum(b, start)
		if got >= 1<<33 {
			t.Fatalf("sum %x is not under 2^33", got)
		}
		// 0 and 0xffff are the same number.
		if g, w := fold(got), naiveFold(naiveSum(b)+start); g%0xffff != w%0xffff {
			t.Fatalf("sum of %x from %d: %04x, want %04x", b, start, g, w)
		}
	})
}

func TestComplete(t *testing.T) {
	for _, s := range []segment{
		{tcp: flagACK, payload: bytesUpTo(1)},
		{tcp: flagSYN},
		{v6: true, tcp: flagACK, payload: bytesUpTo(1399)},
		{udp: true, payload: bytesUpTo(333)},
		{udp: true},
		{v6: true, udp: true, payload: bytesUpTo(1000)},
	} {
		want := s.build()
		s.partial = true
		got := s.build()
		if err := Complete(got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%+v: %v\n got %x\nwant %x", s, err, got, want)
		}
	}
}

func TestCompleteUDPZero(t *testing.T) {
	// Choose the data so that the sum of everything is 0xffff: the checksum
	// would be 0, which in UDP means none.
	s := segment{udp: true, payload: []byte{0, 0}}
	check := s.build()[ipv4Len+6:]
	s.payload = []byte{check[0], check[1]}
	s.partial = true
	p := s.build()
	if err := Complete(p); err != nil {
		t.Fatal(err)
	}
	if p[ipv4Len+6] != 0xff || p[ipv4Len+7] != 0xff || !naiveValid(p) {
		t.Errorf("checksum %x, want ffff", p[ipv4Len+6:ipv4Len+8])
	}
}

func TestCompleteRefuses(t *testing.T) {
	whole := segment{tcp: flagACK, payload: bytesUpTo(100), partial: true}.build()
	icmp := bytes.Clone(whole)
	icmp[9] = 1
	for _, test := range []struct {
		name string
		p    []byte
		want error
	}{
		{"empty", nil, ErrShort},
		{"cut", whole[:130], ErrLength},
		{"longer than its IP length", append(bytes.Clone(whole), 0), ErrLength},
		{"ICMP", icmp, ErrProtocol},
		{"fragment", segment{tcp: flagACK, flags: 10}.build(), ErrFragment},
	} {
		before := bytes.Clone(test.p)
		if err := Complete(test.p); err != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if !bytes.Equal(test.p, before) {
			t.Errorf("%s: the packet was changed", test.name)
		}
	}
}

func TestCompleteAtRefuses(t *testing.T) {
	p := make([]byte, 40)
	for _, at := range [][2]int{{-1, 4}, {4, -1}, {41, 0}, {0, 39}, {39, 0}, {20, 19}, {1 << 62, 1 << 62}} {
		if err := CompleteAt(p, at[0], at[1]); err != ErrOffset {
			t.Errorf("start %d, offset %d: %v", at[0], at[1], err)
		}
	}
	if err := CompleteAt(p, 20, 18); err != nil {
		t.Errorf("the last two bytes: %v", err)
	}
}

func FuzzComplete(f *testing.F) {
	f.Add(segment{tcp: flagACK, payload: bytesUpTo(30), partial: true}.build())
	f.Add(segment{v6: true, udp: true, payload: bytesUpTo(30), partial: true}.build())
	f.Fuzz(func(t *testing.T, p []byte) {
		if Complete(p) != nil {
			return
		}
		if _, err := ParseHeaders(p); err != nil {
			t.Fatalf("a completed packet does not parse: %v", err)
		}
	})
}
