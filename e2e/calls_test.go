package e2e

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// enoughPackets is how many packets of a call may pass before it is recognised.
const enoughPackets = 10

var _ = Describe("A call of other programs", func() {
	var b *bench
	var caller, callee *machine
	BeforeEach(func() {
		b = newBench(1, 2)
		caller, callee = b.clients[0].on, b.network.server
	})

	It("by SIP, with audio in PCMU both ways, is recognised within ten packets", func() {
		needs("sipp", "sip-tester")
		b.start()
		folder := phoneFolder(b.folder, enoughPackets)
		phone := func(args ...string) *exec.Cmd {
			cmd := exec.Command("sipp", append(args, "-m", "1", "-nostdin")...)
			cmd.Dir = folder
			cmd.Env = append(os.Environ(), "TERM=dumb")
			return cmd
		}
		own := b.clients[0].addresses()[0]
		answering := phone("-sf", "callee.xml", "-i", tunnelGateway, "-p", "5060")
		callee.start(answering)
		DeferCleanup(func() {
			_ = answering.Process.Kill() // once it has ended: nothing
			_ = answering.Wait()
		})
		status, out := caller.run(phone(tunnelGateway+":5060", "-sf", "caller.xml", "-i", own, "-p", "5060"))
		Expect(status).To(BeZero(), out)
		for _, p := range []*program{b.clients[0], b.server} {
			calls := p.calls()
			Expect(calls).To(HaveLen(1), "%s: %+v", p.name, p.flows())
			for _, h := range []half{calls[0].Sent, calls[0].Received} {
				Expect(h.Packets).To(BeNumerically("<=", enoughPackets), "%+v", calls[0])
				Expect(h.PayloadType).To(HaveValue(Equal(0)))
			}
		}
	})

	It("by ffmpeg, one way in Opus, is recognised within ten packets", func() {
		needs("ffmpeg", "ffmpeg")
		b.start()
		callee.inbox(tunnelGateway, 40000)
		callee.inbox(tunnelGateway, 40001)
		caller.mounts = nil // what the program is linked with is found by way of /etc
		// The encoder adds a frame to what it is given.
		status, out := caller.run(exec.Command("ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin",
			"-re", "-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=300:duration=%.2f", 0.02*(enoughPackets-1)),
			"-c:a", "libopus", "-application", "voip", "-frame_duration", "20", "-payload_type", "111",
			"-f", "rtp", "rtp://"+tunnelGateway+":40000?localrtpport=41000&localrtcpport=41001"))
		Expect(status).To(BeZero(), out)
		calls := b.clients[0].calls()
		Expect(calls).To(HaveLen(1), "%+v", b.clients[0].flows())
		Expect(calls[0].Sent.Packets).To(BeNumerically("<=", enoughPackets), "%+v", calls[0])
		Expect(calls[0].Sent.PayloadType).To(HaveValue(Equal(111)))
		Expect(b.server.calls()).To(HaveLen(1), "%+v", b.server.flows())
	})
})

// needs skips the spec where a program of a Debian package is missing.
func needs(program, debian string) {
	GinkgoHelper()
	if _, err := exec.LookPath(program); err != nil {
		Skip(fmt.Sprintf("%s is not here: apt-get install %s", program, debian))
	}
}

// phoneFolder makes a folder with sipp's scenarios and with the audio that both
// sides play: a tone of that many packets.
func phoneFolder(folder string, packets int) string {
	GinkgoHelper()
	folder = filepath.Join(folder, "phone")
	Expect(os.CopyFS(folder, os.DirFS("testdata/sip"))).To(Succeed())
	const frame = 160 // samples, of 20 ms
	audio := make([]byte, packets*frame)
	for i := range audio {
		audio[i] = muLaw(math.Sin(2*math.Pi*440*float64(i)/8000) / 2)
	}
	Expect(os.WriteFile(filepath.Join(folder, "audio.ulaw"), audio, 0o644)).To(Succeed())
	return folder
}

// muLaw encodes a sample from -1 to 1 as ITU-T G.711 does: the sign, the
// exponent and four bits of a logarithmic scale, inverted.
func muLaw(sample float64) byte {
	const bias, clip = 33, 8158
	v := int(math.Abs(sample)*clip) + bias
	v = min(v, clip+bias)
	exponent := 0
	for v>>(exponent+6) > 0 {
		exponent++
	}
	code := byte(exponent<<4 | v>>(exponent+1)&0x0f)
	if sample < 0 {
		code |= 0x80
	}
	return ^code
}
