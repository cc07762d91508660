package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// udpPacket makes an inner IPv4 packet with a text to tell it by.
func udpPacket(src, dst netip.Addr, text string) core.Packet {
	b := make([]byte, 28, 28+len(text))
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(text)))
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(b[20:], 1000)
	binary.BigEndian.PutUint16(b[22:], 2000)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(text)))
	return core.Packet{Data: append(b, text...)}
}

// crosses sends a packet until it has come out at the other end: it may be
// lost while links come and go.
func crosses(t *testing.T, from, to *process, src, dst netip.Addr, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("packet %v -> %v %q arrives", src, dst, text), func() bool {
		from.tun.Inject(udpPacket(src, dst, text))
		_, err := collect(t, to, text, soon)
		return err == nil
	})
}

// soon is how long a packet that was just sent is waited for before the next one is.
const soon = 200 * time.Millisecond

// collect takes out what has come, up to a packet with a text, and returns the texts
// before it. An error says that it has not come in time.
func collect(t *testing.T, at *process, text string, within time.Duration) (before []string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		p, err := at.tun.Collect(ctx)
		if err != nil {
			return before, err
		}
		got := string(p.Data[28:])
		if got == text {
			return before, nil
		}
		before = append(before, got)
	}
}

// arrives waits until a packet with a text, which was sent once, has come out.
func arrives(t *testing.T, at *process, text string) {
	t.Helper()
	if _, err := collect(t, at, text, patience); err != nil {
		t.Fatalf("packet %q does not arrive: %v", text, err)
	}
}
