// Command generate makes the traffic of one application, 50 flows of it, in the
// network namespace it is started in, or packs a capture of it. Run.sh starts
// both; ../README.md describes what comes out.
package main

import (
	"fmt"
	"log"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	flows    = 50
	parallel = 10
	length   = 3 * time.Second // of a flow
	ports    = 20000           // of the first flow
)

// applications make the i-th of the flows and return when it is over.
var applications = map[string]func(i int) error{
	"ffmpeg-opus": ffmpegOpus, "ffmpeg-pcm": ffmpegPCM,
	"gstreamer-vp8": gstreamerVP8, "gstreamer-h264": gstreamerH264,
	"sipp-pcmu": sipp, "webrtc": webrtcCall, "turn-opus": turnCall,

	"dns": dnsQueries, "quic": quicTransfer, "utp": utpTransfer,
	"wireguard": wireguard, "openvpn": openvpn, "srt": srt, "mosh": mosh, "iperf3": iperf,
	"webrtc-data": webrtcData, "raknet": raknet, "game": game, "kcp": kcp,
	"random": random, "esp": esp,
}

func main() {
	log.SetFlags(0)
	if len(os.Args) == 4 && os.Args[1] == "pack" {
		check(pack(os.Args[2], os.Args[3]))
		return
	}
	if len(os.Args) != 2 || applications[os.Args[1]] == nil {
		log.Fatalf("usage: generate APPLICATION | generate pack IN.pcap OUT.gz; applications: %s",
			strings.Join(slices.Sorted(maps.Keys(applications)), ", "))
	}
	run := applications[os.Args[1]]
	var all sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for i := range flows {
		slots <- struct{}{}
		all.Go(func() {
			if err := run(i); err != nil {
				log.Printf("flow %d: %v", i, err)
			}
			<-slots
		})
		time.Sleep(17 * time.Millisecond) // not all in step
	}
	all.Wait()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// port is the n-th port of a flow.
func port(i, n int) int { return ports + 20*i + n }

// sink takes what arrives at a port until it is closed.
func sink(port int) func() {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	check(err)
	go func() {
		b := make([]byte, 65536)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	}()
	return func() { c.Close() }
}

// sinks are for media and its RTCP.
func sinks(i int) (stop func()) {
	a, b := sink(port(i, 0)), sink(port(i, 1))
	return func() { a(); b() }
}

// command runs a program until it ends or its time is over.
func command(limit time.Duration, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		return err
	}
	late := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if late.Stop() && err != nil {
		return fmt.Errorf("%s: %w: %.600s", name, err, text.String())
	}
	return nil
}

func itoa(n int) string { return strconv.Itoa(n) }
