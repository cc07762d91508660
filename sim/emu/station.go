package emu

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A station is an endpoint of Calibrate that sends and counts frames without
// the kernel's network stack. Its frames have an Ethernet type for local
// experiments (IEEE 802a) and carry the time they were sent at.
type station struct {
	socket *packetSocket
	slots  slots
}

const experimental = 0x88b5

// stampAt is the place of the sending time in a frame.
const stampAt = etherHeader

func openStation(ns netns.NsHandle, name string) (*station, error) {
	socket, err := openPacketSocket(ns, name)
	if err != nil {
		return nil, err
	}
	s := &station{socket: socket}
	for i := range s.slots.frames {
		s.slots.frames[i] = new(frame)
	}
	return s, nil
}

// newFrame makes an experimental frame with an IP packet's worth of size bytes.
func newFrame(size int) *frame {
	f := &frame{size: etherHeader + size}
	// Locally administered addresses; the endpoint takes every frame.
	copy(f.bytes[:], []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1})
	binary.BigEndian.PutUint16(f.bytes[12:], experimental)
	return f
}

// flood sends packets of size bytes at a rate in bit/s until ctx ends or count
// are sent (0: no end), and returns how many went.
func (s *station) flood(ctx context.Context, rate float64, size, count int) (sent int, err error) {
	frames := make([]*frame, batch)
	for i := range frames {
		frames[i] = newFrame(size)
	}
	start := time.Now()
	for ctx.Err() == nil && (count == 0 || sent < count) {
		due := int(time.Since(start).Seconds()*rate/8/float64(size)) + 1
		if count > 0 {
			due = min(due, count)
		}
		for sent < due {
			n := min(due-sent, batch)
			for _, f := range frames[:n] {
				binary.BigEndian.PutUint64(f.bytes[stampAt:], uint64(time.Now().UnixNano()))
			}
			gone, err := s.socket.transmit(frames[:n])
			if err != nil && !temporary(err) {
				return sent, fmt.Errorf("send: %w", err)
			}
			sent += gone
		}
		time.Sleep(500 * time.Microsecond)
	}
	return sent, nil
}

// arrivals is what a station received: how many frames, and the sums for a
// straight line through their numbers over their times.
type arrivals struct {
	frames       int
	first        int64   // wall clock, ns
	t, tt, n, nt float64 // sums of time in s, its square, number, number times time
}

// rate returns the rate in bit/s at which packets of size bytes came: the slope
// of the line of least squares, so that one frame that was late, be it the last,
// does not count as a wrong rate.
func (a *arrivals) rate(size int) float64 {
	count := float64(a.frames)
	spread := count*a.tt - a.t*a.t
	if a.frames < 2 || spread <= 0 {
		return 0
	}
	return (count*a.nt - a.n*a.t) / spread * float64(size) * 8
}

// note takes a frame that came at a time of the wall clock.
func (a *arrivals) note(at int64) {
	if a.frames == 0 {
		a.first = at
	}
	t, n := float64(at-a.first)/1e9, float64(a.frames)
	a.frames++
	a.t += t
	a.tt += t * t
	a.n += n
	a.nt += n * t
}

// count receives until ctx ends, from the moment that open is set on. Each
// frame's age at its arrival goes to age, if there is one.
func (s *station) count(ctx context.Context, open *atomic.Bool, age func(time.Duration)) (a arrivals, err error) {
	polls := []unix.PollFd{{Fd: int32(s.socket.fd()), Events: unix.POLLIN}}
	for ctx.Err() == nil {
		if _, err := unix.Poll(polls, 20); err != nil && err != unix.EINTR {
			return a, fmt.Errorf("poll: %w", err)
		}
		n, err := s.socket.receive(&s.slots)
		if err != nil && !temporary(err) {
			return a, fmt.Errorf("receive: %w", err)
		}
		for i := range n {
			f := s.slots.frames[i]
			if !open.Load() || binary.BigEndian.Uint16(f.bytes[12:]) != experimental {
				continue
			}
			a.note(s.slots.arrival[i])
			if age != nil {
				age(time.Duration(s.slots.arrival[i] - int64(binary.BigEndian.Uint64(f.bytes[stampAt:]))))
			}
		}
	}
	return a, nil
}
