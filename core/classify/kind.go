package classify

// kind is what the first bytes of a UDP payload say it is (RFC 7983, RFC 5761).
type kind uint8

const (
	kindOther kind = iota
	kindSTUN
	kindDTLS
	kindRTCP
	kindRTP
	kindEmpty // a keep-alive
)

// evidence is what came on a flow that calls send, apart from media.
type evidence uint8

const (
	evidenceSTUN evidence = 1 << iota
	evidenceDTLS
	evidenceRTCP // of a source that was seen
)

// rtpHeader is the fixed part of an RTP header (RFC 3550, section 5.1).
type rtpHeader struct {
	marker      bool
	payloadType uint8
	sequence    uint16
	timestamp   uint32
	ssrc        uint32
	payload     int // bytes behind the header, with padding
}

const (
	rtpFixed   = 12
	stunLength = 20
	stunCookie = 0x2112a442 // RFC 8489, section 5
)

// unwrap returns what a TURN ChannelData message holds, or b itself (RFC 8656,
// section 12.4). Over UDP it may be padded.
func unwrap(b []byte) (inner []byte, wrapped bool) {
	const header = 4
	if len(b) < header || b[0] < 0x40 || b[0] > 0x4f {
		return b, false
	}
	n := int(be16(b[2:]))
	if rest := len(b) - header; n > rest || rest-n > 3 {
		return b, false
	}
	return b[header : header+n], true
}

// kindOf says what b is. For kindRTP it fills h.
func kindOf(b []byte, h *rtpHeader) kind {
	switch {
	case len(b) <= 1:
		return kindEmpty
	case b[0] <= 3:
		if len(b) >= stunLength && be32(b[4:]) == stunCookie && int(be16(b[2:]))+stunLength == len(b) {
			return kindSTUN
		}
	case b[0] >= 20 && b[0] <= 63:
		const record = 13 // RFC 9147: type, version, epoch, sequence, length
		if len(b) >= record && b[1] == 0xfe && (b[2] == 0xff || b[2] == 0xfd) && record+int(be16(b[11:])) <= len(b) {
			return kindDTLS
		}
	case b[0]>>6 == 2:
		if isRTCP(b) {
			return kindRTCP
		}
		if h.parse(b) {
			return kindRTP
		}
	}
	return kindOther
}

// isRTCP tells whether b begins with an RTCP packet whose length fits; what
// follows may be encrypted.
func isRTCP(b []byte) bool {
	const first, last = 192, 223 // RFC 5761, section 4
	return len(b) >= 8 && b[1] >= first && b[1] <= last && (int(be16(b[2:]))+1)*4 <= len(b)
}

// parse reads an RTP header whose version is known to be 2. The payload may be
// encrypted; it is not looked at.
func (h *rtpHeader) parse(b []byte) bool {
	if len(b) < rtpFixed {
		return false
	}
	length := rtpFixed + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 {
		if len(b) < length+4 {
			return false
		}
		length += 4 + 4*int(be16(b[length+2:]))
	}
	if length > len(b) {
		return false
	}
	h.marker, h.payloadType = b[1]&0x80 != 0, b[1]&0x7f
	h.sequence, h.timestamp, h.ssrc = be16(b[2:]), be32(b[4:]), be32(b[8:])
	h.payload = len(b) - length
	return true
}

// known tells whether a payload type is one that media have: static
// (RFC 3551), dynamic, and, where a call was negotiated by ICE, those that
// browsers use when the dynamic ones run out (RFC 5761, section 4).
func known(payloadType uint8, negotiated bool) bool {
	return payloadType <= 34 || payloadType >= 96 || negotiated && payloadType <= 63
}
