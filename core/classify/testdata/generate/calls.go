package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtp"
	"github.com/pion/turn/v4"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

func ffmpegOpus(i int) error {
	defer sinks(i)()
	frame := [...]string{"20", "20", "20", "10", "40", "60"}[i%6]
	rate := [...]string{"16k", "24k", "32k", "64k"}[i%4]
	return command(30*time.Second, "ffmpeg", "-nostdin", "-re", "-f", "lavfi", "-i", fmt.Sprintf("anoisesrc=r=48000:a=0.1:d=%g", length.Seconds()),
		"-c:a", "libopus", "-b:a", rate, "-frame_duration", frame, "-f", "rtp", fmt.Sprintf("rtp://127.0.0.1:%d", port(i, 0)))
}

func ffmpegPCM(i int) error {
	defer sinks(i)()
	codec := [...]string{"pcm_mulaw", "pcm_alaw", "g722", "pcm_mulaw"}[i%4]
	rate := "8000"
	if codec == "g722" {
		rate = "16000"
	}
	size := [...]int{172, 172, 92, 252, 1472}[i%5] // with the header: 20, 10, 30 and 182 ms
	return command(30*time.Second, "ffmpeg", "-nostdin", "-re", "-f", "lavfi", "-i", fmt.Sprintf("sine=f=300:r=%s:d=%g", rate, length.Seconds()),
		"-ac", "1", "-c:a", codec, "-f", "rtp", fmt.Sprintf("rtp://127.0.0.1:%d?pkt_size=%d", port(i, 0), size))
}

// pictures are sources of different size and rate.
func pictures(i int) []string {
	format := fmt.Sprintf("video/x-raw,width=%d,height=%d,framerate=%d/1", 160*(1+i%4), 120*(1+i%4), [...]int{10, 15, 25, 30}[i/4%4])
	pattern := [...]string{"smpte", "ball", "snow", "circular"}[i%4]
	return []string{"-q", "videotestsrc", "is-live=true", "pattern=" + pattern, fmt.Sprintf("num-buffers=%d", 3*[...]int{10, 15, 25, 30}[i/4%4]), "!", format, "!"}
}

func gstreamerVP8(i int) error {
	defer sinks(i)()
	return command(30*time.Second, "gst-launch-1.0", append(pictures(i), "vp8enc", "deadline=1", "cpu-used=16", "target-bitrate="+itoa(100000*(1+i%8)),
		"!", "rtpvp8pay", "!", "udpsink", "host=127.0.0.1", "port="+itoa(port(i, 0)))...)
}

func gstreamerH264(i int) error {
	defer sinks(i)()
	tune := "tune=zerolatency"
	if i%5 == 0 {
		tune = "bframes=2"
	}
	return command(30*time.Second, "gst-launch-1.0", append(pictures(i), "x264enc", "speed-preset=ultrafast", tune, "key-int-max=30", "bitrate="+itoa(100*(1+i%8)),
		"!", "rtph264pay", "!", "udpsink", "host=127.0.0.1", "port="+itoa(port(i, 0)))...)
}

// sipp makes calls between two sipp processes; each sends a file of silence.
func sipp(i int) error {
	dir, err := os.MkdirTemp("", "sipp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	audio := make([]byte, 8000*3) // PCMU is sent as it stands
	for j := range audio {
		audio[j] = byte(rand.Uint32())
	}
	if err := os.WriteFile(dir+"/tone.pcmu", audio, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(dir+"/caller.xml", []byte(sippCaller(dir+"/tone.pcmu")), 0o600); err != nil {
		return err
	}
	sip, media := port(i, 0), port(i, 6)
	var both sync.WaitGroup
	both.Go(func() {
		_ = command(8*time.Second, "sipp", "-sn", "uas", "-i", "127.0.0.1", "-p", itoa(sip), "-mp", itoa(media), "-m", "1", "-rtp_echo", "-nostdin")
	})
	time.Sleep(300 * time.Millisecond)
	err = command(15*time.Second, "sipp", fmt.Sprintf("127.0.0.1:%d", sip), "-sf", dir+"/caller.xml", "-i", "127.0.0.1", "-p", itoa(sip+1),
		"-mp", itoa(media+4), "-m", "1", "-nostdin")
	both.Wait()
	return err
}

func sippCaller(file string) string {
	return `<?xml version="1.0"?>
<scenario name="caller">
<send retrans="500"><![CDATA[
INVITE sip:service@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: service <sip:service@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: sip:caller@[local_ip]:[local_port]
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=user1 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
<recv response="100" optional="true"/>
<recv response="180" optional="true"/>
<recv response="200" rtd="true"/>
<send><![CDATA[
ACK sip:service@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: service <sip:service@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<nop><action><exec rtp_stream="` + file + `,1,0,PCMU/8000"/></action></nop>
<pause milliseconds="3200"/>
<send retrans="500"><![CDATA[
BYE sip:service@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: service <sip:service@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
`
}

// peers returns two connected peers over loopback; setup adds what they send.
func peers(setup func(offerer *webrtc.PeerConnection) error) (a, b *webrtc.PeerConnection, err error) {
	settings := webrtc.SettingEngine{LoggerFactory: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled, Writer: os.Stderr}}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	engine, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := errors.Join(engine.RegisterDefaultCodecs(), webrtc.RegisterDefaultInterceptors(engine, registry)); err != nil {
		return nil, nil, err
	}
	api := webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry))
	if a, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		return nil, nil, err
	}
	if b, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		return nil, nil, err
	}
	if err := setup(a); err != nil {
		return nil, nil, err
	}
	describe := func(from, to *webrtc.PeerConnection, d webrtc.SessionDescription, err error) error {
		if err != nil {
			return err
		}
		gathered := webrtc.GatheringCompletePromise(from)
		if err := from.SetLocalDescription(d); err != nil {
			return err
		}
		<-gathered
		return to.SetRemoteDescription(*from.LocalDescription())
	}
	offer, err := a.CreateOffer(nil)
	if err := describe(a, b, offer, err); err != nil {
		return nil, nil, err
	}
	answer, err := b.CreateAnswer(nil)
	return a, b, describe(b, a, answer, err)
}

func connected(p *webrtc.PeerConnection) {
	ready := make(chan struct{})
	var once sync.Once
	p.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(ready) })
		}
	})
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
	}
}

// webrtcCall sends Opus over SRTP, and in every second flow VP8 beside it.
func webrtcCall(i int) error {
	sound, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "sound", "call")
	if err != nil {
		return err
	}
	picture, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "picture", "call")
	if err != nil {
		return err
	}
	a, b, err := peers(func(p *webrtc.PeerConnection) error {
		_, err := p.AddTrack(sound)
		if i%2 == 1 && err == nil {
			_, err = p.AddTrack(picture)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer a.Close()
	defer b.Close()
	connected(a)
	end := time.Now().Add(length)
	for n := 0; time.Now().Before(end); n++ {
		_ = sound.WriteSample(media.Sample{Data: make([]byte, 60+rand.IntN(60)), Duration: 20 * time.Millisecond})
		if i%2 == 1 && n%2 == 0 {
			size := 2000 + rand.IntN(2000)
			if n%50 == 0 {
				size = 15000
			}
			_ = picture.WriteSample(media.Sample{Data: make([]byte, size), Duration: 40 * time.Millisecond})
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// webrtcData sends through a data channel: STUN and DTLS without media.
func webrtcData(i int) error {
	var channel *webrtc.DataChannel
	a, b, err := peers(func(p *webrtc.PeerConnection) (err error) {
		channel, err = p.CreateDataChannel("data", nil)
		return err
	})
	if err != nil {
		return err
	}
	defer a.Close()
	defer b.Close()
	connected(a)
	time.Sleep(200 * time.Millisecond)
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		_ = channel.Send(make([]byte, 50+rand.IntN(900)))
	}
	return nil
}

// turnCall sends Opus through a TURN server, in ChannelData on the client's side.
func turnCall(i int) error {
	loopback := net.IPv4(127, 0, 0, 1)
	listen, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", port(i, 0)))
	if err != nil {
		return err
	}
	quiet := &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled, Writer: os.Stderr}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: "test", LoggerFactory: quiet,
		AuthHandler: func(user, realm string, _ net.Addr) ([]byte, bool) {
			return turn.GenerateAuthKey(user, realm, "secret"), true
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn:            listen,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: loopback, Address: "127.0.0.1"},
		}},
	})
	if err != nil {
		return err
	}
	defer server.Close()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: listen.LocalAddr().String(), TURNServerAddr: listen.LocalAddr().String(), Conn: conn,
		Username: "user", Password: "secret", Realm: "test", LoggerFactory: quiet,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Listen(); err != nil {
		return err
	}
	relay, err := client.Allocate()
	if err != nil {
		return err
	}
	peer, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", port(i, 2)))
	if err != nil {
		return err
	}
	defer peer.Close()
	// The peer's address is another one than the client knows as bound until a
	// packet went there.
	if _, err := relay.WriteTo([]byte("x"), peer.LocalAddr()); err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond) // the channel is bound in the background
	ctx, stop := context.WithTimeout(context.Background(), length)
	defer stop()
	talk := func(write func([]byte) error) {
		p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32(), SSRC: rand.Uint32()}}
		for ctx.Err() == nil {
			p.Payload = make([]byte, 60+rand.IntN(60))
			b, _ := p.Marshal()
			_ = write(b)
			p.SequenceNumber++
			p.Timestamp += 960
			time.Sleep(20 * time.Millisecond)
		}
	}
	var both sync.WaitGroup
	both.Go(func() { talk(func(b []byte) error { _, err := relay.WriteTo(b, peer.LocalAddr()); return err }) })
	both.Go(func() { talk(func(b []byte) error { _, err := peer.WriteTo(b, relay.LocalAddr()); return err }) })
	both.Wait()
	return nil
}
