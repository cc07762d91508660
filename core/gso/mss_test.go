package gso

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestClampMSS(t *testing.T) {
	mss := func(v uint16) []byte { return []byte{2, 4, byte(v >> 8), byte(v)} }
	timestamps := []byte{8, 10, 1, 2, 3, 4, 5, 6, 7, 8}
	for _, test := range []struct {
		name    string
		v6      bool
		tcp     byte
		options []byte
		mtu     int
		want    []byte // options afterwards; nil: unchanged
	}{
		{"lowered", false, flagSYN, mss(1460), 1400, mss(1360)},
		{"lowered in SYN-ACK", false, flagSYN | flagACK, mss(1460), 1400, mss(1360)},
		{"lowered over IPv6", true, flagSYN, mss(1460), 1400, mss(1340)},
		{"jumbo", false, flagSYN, mss(65535), 1400, mss(1360)},
		{"at an odd offset", false, flagSYN, append([]byte{1}, append(mss(1460), 1, 1, 1)...), 1400,
			append([]byte{1}, append(mss(1360), 1, 1, 1)...)},
		{"behind other options", false, flagSYN, append(append(timestamps, mss(1460)...), 0, 0), 1400,
			append(append(bytes.Clone(timestamps), mss(1360)...), 0, 0)},
		{"never raised", false, flagSYN, mss(536), 1400, nil},
		{"equal", false, flagSYN, mss(1360), 1400, nil},
		{"not a SYN", false, flagACK, mss(1460), 1400, nil},
		{"no option", false, flagSYN, nil, 1400, nil},
		{"behind the end of options", false, flagSYN, append([]byte{0, 0, 0, 0}, mss(1460)...), 1400, nil},
		{"option of length 0", false, flagSYN, append([]byte{8, 0, 1, 1}, mss(1460)...), 1400, nil},
		{"option of length 1", false, flagSYN, append([]byte{8, 1, 1, 1}, mss(1460)...), 1400, nil},
		{"option past the end", false, flagSYN, []byte{1, 1, 2, 4}, 1400, nil},
		{"option without length", false, flagSYN, []byte{1, 1, 1, 2}, 1400, nil},
		{"MSS of length 3", false, flagSYN, []byte{2, 3, 5, 1}, 1400, nil},
		{"no room at all", false, flagSYN, mss(1460), 40, nil},
		{"negative MTU", false, flagSYN, mss(1460), -1, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, partial := range []bool{false, true} {
				s := segment{v6: test.v6, tcp: test.tcp, options: test.options, partial: partial}
				p := s.build()
				if changed := ClampMSS(p, partial, test.mtu); changed != (test.want != nil) {
					t.Errorf("partial %v: changed = %v", partial, changed)
				}
				if test.want != nil {
					s.options = test.want
				}
				if !bytes.Equal(p, s.build()) {
					t.Errorf("partial %v:\n got %x\nwant %x", partial, p, s.build())
				}
			}
		})
	}
}

func TestClampMSSLeavesOthersAlone(t *testing.T) {
	udp := segment{udp: true, payload: []byte{2, 4, 5, 180}}.build()
	fragment := segment{tcp: flagSYN, flags: ipv4MoreFragments, options: []byte{2, 4, 5, 180}}.build()
	for _, p := range [][]byte{nil, {0x45}, {0x60}, udp, fragment} {
		before := bytes.Clone(p)
		if ClampMSS(p, false, 1000) || !bytes.Equal(p, before) {
			t.Errorf("%x was changed to %x", before, p)
		}
	}
}

// TestClampMSSAllValues compares every update of the checksum with one
// computed anew.
func TestClampMSSAllValues(t *testing.T) {
	for _, pad := range []int{0, 1} {
		for old := uint16(1); old != 0; old++ {
			options := make([]byte, 8)
			for i := range options {
				options[i] = optionNop
			}
			copy(options[pad:], []byte{2, 4, byte(old >> 8), byte(old)})
			p := segment{tcp: flagSYN, options: options, window: old * 3}.build()
			ClampMSS(p, false, 1240)
			if got := min(old, 1200); binary.BigEndian.Uint16(p[ipv4Len+tcpLen+pad+2:]) != got || !naiveValid(p) {
				t.Fatalf("MSS %d, pad %d: got %x", old, pad, p)
			}
		}
	}
}

func FuzzClampMSS(f *testing.F) {
	f.Add(segment{tcp: flagSYN, options: []byte{1, 2, 4, 5, 180, 0, 0, 0}}.build(), 1400)
	f.Add(segment{v6: true, tcp: flagSYN, options: []byte{2, 4, 5, 180}}.build(), 1280)
	f.Fuzz(func(t *testing.T, p []byte, mtu int) {
		h, err := ParseHeaders(p)
		valid := err == nil && h.Total == len(p) && h.Protocol == ProtocolTCP && checksumValid(p, h)
		before := bytes.Clone(p)
		changed := ClampMSS(p, false, mtu)
		if changed == bytes.Equal(p, before) {
			t.Fatalf("changed = %v\n from %x\n   to %x", changed, before, p)
		}
		if valid && !checksumValid(p, h) {
			t.Fatalf("the checksum is no longer right: %x", p)
		}
	})
}
