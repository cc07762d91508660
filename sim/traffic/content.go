package traffic

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
)

// content is the endless stream of bytes that a seed stands for. Both ends
// make it for themselves, so what arrives is compared byte by byte.
type content struct {
	source *rand.ChaCha8
	// expected is the scratch space of check.
	expected []byte
	offset   int64
}

// newContent makes the stream of a seed and a label ("down", "up").
func newContent(seed uint64, label string) *content {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	copy(key[8:], label)
	return &content{source: rand.NewChaCha8(key)}
}

// Read fills p with the next bytes of the stream. It never fails.
func (c *content) Read(p []byte) (int, error) {
	n, err := c.source.Read(p)
	c.offset += int64(n)
	return n, err
}

// check compares p with the next bytes of the stream.
func (c *content) check(p []byte) error {
	if len(c.expected) < len(p) {
		c.expected = make([]byte, len(p))
	}
	expected, at := c.expected[:len(p)], c.offset
	_, _ = c.Read(expected)
	if bytes.Equal(expected, p) {
		return nil
	}
	for i := range p {
		if p[i] != expected[i] {
			at += int64(i)
			break
		}
	}
	return fmt.Errorf("content differs from what was sent at byte %d", at)
}

// file is content with an end: what an HTTP server hands out.
func file(seed uint64, size int64) io.Reader {
	return io.LimitReader(newContent(seed, "file"), size)
}
