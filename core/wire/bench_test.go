package wire

import (
	"testing"

	"github.com/multilink-vpn/multilink/core"
)

// BenchmarkPacket builds the headers of a datagram that carries a packet, and
// reads them again.
func BenchmarkPacket(b *testing.B) {
	data := make([]byte, 1400)
	buf := make([]byte, 0, 1500)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for i := range uint64(b.N) {
		d := Header{Receiver: 7, Number: i}.Append(buf)
		d = append(PacketHeader{Sequence: uint32(i), Bucket: 3, BucketSequence: uint16(i)}.Append(d), data...)
		if h, err := ParseHeader(d); err != nil || h.Number != i {
			b.Fatal(h, err)
		}
		if h, _, err := ParsePacket(d[HeaderLen:]); err != nil || h.Sequence != uint32(i) {
			b.Fatal(h, err)
		}
	}
}

// ackCounter counts the reports of a body.
type ackCounter struct {
	Handler
	acks int
}

func (c *ackCounter) HandleAck(*Ack) { c.acks++ }

// BenchmarkAck builds and parses a report with as many ranges and arrivals as
// a link has that loses some.
func BenchmarkAck(b *testing.B) {
	a := &Ack{Link: 1}
	for i := range uint64(8) {
		a.Ranges = append(a.Ranges, Range{First: 10_000 - 100*i - 90, Last: 10_000 - 100*i})
		a.Arrivals = append(a.Arrivals, Arrival{Number: 10_000 - i, At: core.Time(1e9 - 1e5*i)})
	}
	var (
		buf    []byte
		parser FrameParser
		count  ackCounter
	)
	b.ReportAllocs()
	for range b.N {
		buf = AppendAck(AppendFrames(buf[:0]), a)
		if err := parser.Parse(buf, &count); err != nil {
			b.Fatal(err)
		}
	}
	if count.acks != b.N {
		b.Fatalf("%d reports of %d", count.acks, b.N)
	}
}
