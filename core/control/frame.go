package control

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// A message on the wire:
//
//	 0      1                        5
//	+------+------------------------+-----------------
//	| type | length of the body, BE | body: JSON
//	+------+------------------------+-----------------
//
// Fields that a receiver does not know are ignored and types that it does not
// know are skipped, so that newer versions can add some. Anything else that
// is wrong ends the connection.
const (
	headerLen = 5
	// MaxMessage is the longest body of a message, in bytes.
	MaxMessage = 64 << 10
	// maxHello is the longest body that is read from a client which is not
	// known yet.
	maxHello = 8 << 10
)

// encode returns m as it goes on the wire.
func encode(m Message) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("send %T: %w", m, err)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("send %T: %w", m, err)
	}
	if len(body) > MaxMessage {
		return nil, fmt.Errorf("send %T: %d bytes: at most %d", m, len(body), MaxMessage)
	}
	frame := make([]byte, headerLen, headerLen+len(body))
	frame[0] = byte(m.kind())
	binary.BigEndian.PutUint32(frame[1:], uint32(len(body)))
	return append(frame, body...), nil
}

// readFrame reads one message of any type whose body has at most limit bytes,
// into buf where it fits.
// io.EOF means that the peer closed the connection between two messages.
func readFrame(r io.Reader, limit int, buf []byte) (kind, []byte, error) {
	var header [headerLen]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(header[1:])
	if uint64(n) > uint64(limit) {
		return 0, nil, fmt.Errorf("%w: type %d with %d bytes: at most %d", ErrMalformed, header[0], n, limit)
	}
	if int(n) > cap(buf) {
		buf = make([]byte, n)
	}
	body := buf[:n]
	if _, err := io.ReadFull(r, body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return kind(header[0]), body, nil
}

// decode returns the message in body; nil for a type it does not know.
func decode(k kind, body []byte) (Message, error) {
	switch k {
	case kindHello:
		return decodeAs[Hello](body)
	case kindWelcome:
		return decodeAs[Welcome](body)
	case kindReject:
		return decodeAs[Reject](body)
	case kindPing:
		return decodeAs[Ping](body)
	case kindPong:
		return decodeAs[Pong](body)
	case kindReconfigure:
		return decodeAs[Reconfigure](body)
	case kindLinkPolicy:
		return decodeAs[LinkPolicy](body)
	case kindGoodbye:
		return decodeAs[Goodbye](body)
	case kindQoS:
		return decodeAs[QoS](body)
	case kindLinksGone:
		return decodeAs[LinksGone](body)
	}
	return nil, nil
}

func decodeAs[M Message](body []byte) (Message, error) {
	var m M
	// Unmarshal takes null for any type and changes nothing.
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return nil, fmt.Errorf("%w: %T: not a JSON object", ErrMalformed, m)
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%w: %T: %w", ErrMalformed, m, err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %T: %w", ErrMalformed, m, err)
	}
	return m, nil
}
