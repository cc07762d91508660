package classify

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Labelled applications of testdata: those that are calls, and those that are
// not. testdata/README.md says how they were captured.
var (
	labelledCalls  = []string{"ffmpeg-opus", "ffmpeg-pcm", "gstreamer-vp8", "gstreamer-h264", "sipp-pcmu", "webrtc", "turn-opus"}
	labelledOthers = []string{
		"dns", "quic", "utp", "wireguard", "openvpn", "srt", "mosh", "iperf3", "webrtc-data",
		"raknet", "game", "kcp", "random", "esp",
	}
)

// capturedFlow is a flow of testdata.
type capturedFlow struct {
	from, to netip.AddrPort
	packets  []capturedPacket
}

type capturedPacket struct {
	at   time.Duration // since the first one
	back bool
	data []byte // payload, zero behind its first bytes
}

// readCapture reads a file of testdata: compressed by gzip, all numbers big
// endian. The count of flows, then for each the ports of its two ends (2 x 2
// bytes), the count of packets (2), and for each packet the microseconds since
// the one before (4), the length of its payload with the top bit set for the
// way back (2), and at most 20 bytes of it.
func readCapture(t *testing.T, application string) []capturedFlow {
	t.Helper()
	compressed, err := os.ReadFile(filepath.Join("testdata", application+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	next16 := func() uint16 {
		v := binary.BigEndian.Uint16(b)
		b = b[2:]
		return v
	}
	const snap = 20
	flows := make([]capturedFlow, next16())
	for i := range flows {
		f := &flows[i]
		f.from = netip.AddrPortFrom(here4.Addr(), next16())
		f.to = netip.AddrPortFrom(there4.Addr(), next16())
		f.packets = make([]capturedPacket, next16())
		var at time.Duration
		for j := range f.packets {
			at += time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
			b = b[4:]
			length := next16()
			p := capturedPacket{at: at, back: length>>15 != 0, data: make([]byte, length&0x7fff)}
			b = b[copy(p.data, b[:min(len(p.data), snap)]):]
			f.packets[j] = p
		}
	}
	return flows
}

// path is what happens to a captured flow on its way to the classifier.
type path struct {
	name   string
	loss   float64
	jitter time.Duration
}

// judged says whether a classifier took a flow for a call: within its first ten
// packets of a direction that carries media, and ever.
func (f *capturedFlow) judged(t *testing.T, classifier string, way path, seed uint64) (early, ever bool) {
	t.Helper()
	tab, err := NewTable(classifier, Limits{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(seed, 1))
	start, last := core.Time(time.Hour), core.Time(0)
	var media [2]int
	for _, p := range f.packets {
		if random.Float64() < way.loss {
			continue
		}
		now := start.Add(p.at)
		if way.jitter > 0 {
			now = now.Add(time.Duration(random.Int64N(int64(way.jitter))))
		}
		now = max(now, last) // packets stay in order
		last = now
		from, to, side := f.from, f.to, 0
		if p.back {
			from, to, side = to, from, 1
		}
		inner, _ := unwrap(p.data)
		var h rtpHeader
		if kindOf(inner, &h) == kindRTP {
			media[side]++
		}
		if tab.Packet(now, udpPacket(from, to, p.data), p.back).State > Other {
			early = early || media[side] <= 10
			ever = true
		}
	}
	return early, ever
}

// score counts flows of one application.
type score struct{ flows, early, ever int }

func scoreOf(t *testing.T, application, classifier string, way path) score {
	s := score{}
	for i, f := range readCapture(t, application) {
		early, ever := f.judged(t, classifier, way, uint64(i))
		s.flows++
		if early {
			s.early++
		}
		if ever {
			s.ever++
		}
	}
	return s
}

// TestLabelled prints, for each classifier, which share of the labelled flows it
// takes for calls, and asserts what is wanted of the default one. A flow that
// is taken for a call once, be it for one packet, counts as taken for one. A
// call counts as found when it is within the first ten of its RTP packets.
//
// One rule was changed after a look at this table: that of irregular timestamps
// (track.move), after the flows of game. Its row is the only one that is not of
// an application that the rules had not seen.
func TestLabelled(t *testing.T) {
	ways := []path{{name: "as captured"}, {name: "3 % loss, jitter 15 ms", loss: 0.03, jitter: 15 * time.Millisecond}}
	var text strings.Builder
	for _, way := range ways {
		fmt.Fprintf(&text, "\n%-24s %6s %10s %10s %10s\n", way.name, "flows", "rtp", "rtp-basic", "rtp-packet")
		classifiers := []string{"rtp", "rtp-basic", "rtp-packet"}
		var found, calls, wrong [3]int
		row := func(application string, call bool) {
			fmt.Fprintf(&text, "%-24s", application)
			for i, c := range classifiers {
				s := scoreOf(t, application, c, way)
				if i == 0 {
					fmt.Fprintf(&text, " %6d", s.flows)
				}
				taken := s.ever
				if call {
					taken = s.early
					found[i] += s.early
					calls[i] += s.flows
				} else {
					wrong[i] += s.ever
				}
				fmt.Fprintf(&text, " %10.3f", float64(taken)/float64(max(1, s.flows)))
				if s.flows < 45 {
					t.Errorf("%s has %d flows", application, s.flows)
				}
			}
			fmt.Fprintln(&text)
		}
		for _, a := range labelledCalls {
			row(a, true)
		}
		for _, a := range labelledOthers {
			row(a, false)
		}
		var recall, precision [3]float64
		for i := range classifiers {
			recall[i] = float64(found[i]) / float64(calls[i])
			precision[i] = float64(found[i]) / float64(found[i]+wrong[i])
		}
		fmt.Fprintf(&text, "%-24s %6s %10.3f %10.3f %10.3f\n", "recall", "", recall[0], recall[1], recall[2])
		fmt.Fprintf(&text, "%-24s %6s %10.3f %10.3f %10.3f\n", "precision", "", precision[0], precision[1], precision[2])
		if recall[0] < 0.99 || precision[0] < 0.995 {
			t.Errorf("%s: recall %.3f, precision %.3f of rtp: want 0.99 and 0.995", way.name, recall[0], precision[0])
		}
	}
	t.Log(text.String())
}
