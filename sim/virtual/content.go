package virtual

import (
	"bytes"
	"fmt"
	"io"
)

// content is the endless stream of bytes that a seed stands for: a block of
// random bytes, over and over. Its length is a prime, so that no power of two
// of bytes that went lost or came twice goes unnoticed.
type content struct{ block []byte }

const blockSize = 65521

func newContent(seed uint64) content {
	c := content{make([]byte, blockSize)}
	_, _ = newStream(seed).Read(c.block) // never fails
	return c
}

// from is what follows an offset, up to the end of the block.
func (c content) from(offset int64) []byte { return c.block[offset%blockSize:] }

// checker compares what is written to it with a head and the content that
// follows, and counts.
type checker struct {
	head    []byte
	content content
	offset  int64 // including the head
	err     error // the first difference
}

// Write implements io.Writer.
func (c *checker) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		expected := c.expected()
		n := min(len(rest), len(expected))
		if c.err == nil && !bytes.Equal(rest[:n], expected[:n]) {
			c.err = fmt.Errorf("content differs from what was sent near byte %d", c.offset)
		}
		c.offset += int64(n)
		rest = rest[n:]
	}
	return len(p), nil
}

func (c *checker) expected() []byte {
	if head := int64(len(c.head)); c.offset >= head {
		return c.content.from(c.offset - head)
	}
	return c.head[c.offset:]
}

var _ io.Writer = (*checker)(nil)
