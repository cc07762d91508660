package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// What no program at hand sends is made here after its description.

// flood sends 50 packets a second to an address.
func flood(to string) <-chan error {
	done := make(chan error, 1)
	go func() {
		c, err := net.Dial("udp4", to)
		if err == nil {
			for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				_, _ = c.Write(make([]byte, 50+rand.IntN(1000)))
			}
		}
		done <- err
	}()
	return done
}

// send sends what next makes, at an interval, and answers with what it makes
// for the other end.
func send(i int, every time.Duration, next func(back bool, n int) []byte) error {
	server, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", port(i, 0)))
	if err != nil {
		return err
	}
	defer server.Close()
	c, err := net.Dial("udp4", server.LocalAddr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	start := time.Now()
	for n := 0; time.Since(start) < length; n++ {
		_, _ = c.Write(next(false, n))
		if b := next(true, n); b != nil {
			_, _ = server.WriteTo(b, c.LocalAddr())
		}
		if every > 0 {
			time.Sleep(every - time.Since(start)%every)
		} else if n%8 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

func filled(size int) []byte {
	b := make([]byte, size)
	for j := range b {
		b[j] = byte(rand.Uint32())
	}
	return b
}

// raknet: data packets 0x84 with a counter of 24 bits, little endian, then
// messages with a counter of their own; acknowledgements 0xc0.
func raknet(i int) error {
	return send(i, time.Duration(10+i%3*10)*time.Millisecond, func(back bool, n int) []byte {
		b := filled(40 + rand.IntN(400))
		first := [...]byte{0x84, 0x84, 0x8c, 0x80}[i%4]
		if n%7 == 6 {
			first = 0xc0
		}
		b[0], b[1], b[2], b[3] = first, byte(n), byte(n>>8), byte(n>>16)
		b[4] = 0x60 // reliable ordered
		binary.BigEndian.PutUint16(b[5:], uint16(len(b)-10)*8)
		b[7], b[8], b[9] = byte(n), byte(n>>8), 0
		return b
	})
}

// game: what looks as much like RTP as a game may: 0x80, a byte that is a
// possible payload type, a counter, a clock in one of several units, an id.
func game(i int) error {
	start, id := time.Now(), rand.Uint32()
	kind, tick := byte(i%3*50), time.Duration([...]int{16, 20, 33, 50}[i%4])*time.Millisecond
	return send(i, tick, func(back bool, n int) []byte {
		b := filled(30 + rand.IntN(100))
		b[0], b[1] = 0x80, kind
		binary.BigEndian.PutUint16(b[2:], uint16(n))
		if i%10 == 9 { // a counter of 32 bits
			binary.BigEndian.PutUint32(b[2:], uint32(n))
		}
		passed := time.Since(start)
		clock := [...]uint32{0, uint32(n), uint32(passed.Milliseconds()), uint32(passed.Microseconds()), uint32(passed.Seconds()), uint32(n) * 100, rand.Uint32()}
		binary.BigEndian.PutUint32(b[4:], clock[i%len(clock)])
		binary.BigEndian.PutUint32(b[8:], id)
		if i%11 == 10 { // a position in its place
			binary.BigEndian.PutUint32(b[8:], uint32(n*17))
		}
		return b
	})
}

// kcp: conversation, command, fragment, window, time in ms, sequence, all
// little endian.
func kcp(i int) error {
	conversation, start := rand.Uint32(), time.Now()
	if i%2 == 0 {
		conversation = conversation&^0xff | 0x80 | uint32(i)&0x0f
	}
	return send(i, 10*time.Millisecond, func(back bool, n int) []byte {
		b := filled(24 + rand.IntN(800))
		binary.LittleEndian.PutUint32(b, conversation)
		b[4], b[5] = 81, 0
		if back {
			b[4] = 82
		}
		binary.LittleEndian.PutUint16(b[6:], 128)
		binary.LittleEndian.PutUint32(b[8:], uint32(time.Since(start).Milliseconds()))
		binary.LittleEndian.PutUint32(b[12:], uint32(n))
		binary.LittleEndian.PutUint32(b[16:], uint32(n))
		binary.LittleEndian.PutUint32(b[20:], uint32(len(b)-24))
		return b
	})
}

// random bytes, of every second flow behind 0x80.
func random(i int) error {
	return send(i, time.Duration(i%4*10)*time.Millisecond, func(bool, int) []byte {
		b := filled(60 + rand.IntN(1000))
		if i%2 == 1 {
			b[0] = 0x80
		}
		return b
	})
}

// esp: IPsec in UDP (RFC 3948) with an index that begins like RTP, its sequence,
// and an initialisation vector: random, or a counter as of AES-GCM (RFC 4106).
func esp(i int) error {
	spi := 0x80000000 | rand.Uint32()>>2
	if i%2 == 0 {
		spi = 0x80600000 | rand.Uint32()>>16
	}
	return send(i, time.Duration(i%3*10)*time.Millisecond, func(back bool, n int) []byte {
		b := filled(80 + rand.IntN(1000))
		binary.BigEndian.PutUint32(b, spi)
		if back {
			binary.BigEndian.PutUint32(b, spi^0x00ff00ff)
		}
		binary.BigEndian.PutUint32(b[4:], uint32(n+1))
		if i%4 < 2 {
			binary.BigEndian.PutUint64(b[8:], uint64(n+1))
		}
		return b
	})
}
