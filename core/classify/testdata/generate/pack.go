package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"os"
)

const (
	snap       = 20  // bytes of a payload that are kept
	mostOfFlow = 120 // packets of a flow that are kept
)

// flow is the packets of a 5-tuple in the order of their capture.
type flow struct {
	id      [12]byte // source and destination of the first packet, ports included
	packets []packet
}

type packet struct {
	micros  uint64
	back    bool // from the second end to the first
	length  int
	payload []byte
}

// pack reads a capture of loopback and writes the UDP flows in it:
//
//	flows, then for each: ports of its two ends (2 x 2 bytes), packets (2), and
//	for each of them: microseconds since the one before (4), length of the
//	payload with the top bit set for the way back (2), at most 20 bytes of it
//
// All numbers are big endian; the file is compressed by gzip.
func pack(in, out string) error {
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	list, err := flowsOf(data)
	if err != nil {
		return err
	}
	kept := list[:0]
	for _, f := range list {
		if wanted(f) && len(kept) < flows {
			kept = append(kept, f)
		}
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	put := func(v any) { check(binary.Write(z, binary.BigEndian, v)) }
	put(uint16(len(kept)))
	for _, f := range kept {
		put(f.id[4:6])
		put(f.id[10:12])
		n := min(len(f.packets), mostOfFlow)
		put(uint16(n))
		last := f.packets[0].micros
		for _, p := range f.packets[:n] {
			put(uint32(p.micros - last))
			last = p.micros
			length := uint16(min(p.length, 1<<15-1))
			if p.back {
				length |= 1 << 15
			}
			put(length)
			put(p.payload[:min(len(p.payload), p.length, snap)])
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	fmt.Printf("%s: %d flows of %d, %d bytes\n", out, len(kept), len(list), b.Len())
	return os.WriteFile(out, b.Bytes(), 0o644)
}

// wanted leaves out what stands beside the labelled flows: SIP, the RTCP of
// ffmpeg (odd ports), name resolution, what has hardly a packet.
func wanted(f *flow) bool {
	p := binary.BigEndian.Uint16(f.id[10:])
	own := p >= ports && p < ports+20*flows
	switch os.Getenv("ONLY") {
	case "media": // sent to the first port of a flow
		return own && (p-ports)%20 == 0 && len(f.packets) >= 10
	case "sip": // to the media port of one who answers
		return own && (p-ports)%20 == 6 && len(f.packets) >= 10
	case "long":
		return len(f.packets) >= 10
	}
	return true
}

// flowsOf reads a pcap of Ethernet frames with IPv4 and UDP.
func flowsOf(data []byte) ([]*flow, error) {
	if len(data) < 24 || binary.LittleEndian.Uint32(data) != 0xa1b2c3d4 {
		return nil, fmt.Errorf("not a pcap file of microseconds")
	}
	byID := map[[12]byte]*flow{}
	var list []*flow
	for data = data[24:]; len(data) >= 16; {
		micros := uint64(binary.LittleEndian.Uint32(data))*1e6 + uint64(binary.LittleEndian.Uint32(data[4:]))
		n := int(binary.LittleEndian.Uint32(data[8:]))
		frame := data[16 : 16+n]
		data = data[16+n:]
		const ethernet, ip, udp = 14, 20, 8
		if n < ethernet+ip+udp || frame[12] != 8 || frame[13] != 0 || frame[ethernet] != 0x45 || frame[ethernet+9] != 17 {
			continue
		}
		h := frame[ethernet:]
		var id, back [12]byte
		copy(id[:], h[12:16])
		copy(id[4:], h[20:22])
		copy(id[6:], h[16:20])
		copy(id[10:], h[22:24])
		copy(back[:], id[6:])
		copy(back[6:], id[:6])
		f, isBack := byID[id], false
		if f == nil && byID[back] != nil {
			f, isBack = byID[back], true
		}
		if f == nil {
			f = &flow{id: id}
			byID[id] = f
			list = append(list, f)
		}
		f.packets = append(f.packets, packet{micros, isBack, int(binary.BigEndian.Uint16(h[24:])) - udp, h[ip+udp:]})
	}
	return list, nil
}
