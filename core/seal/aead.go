package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/crypto/chacha20poly1305"
)

// newAEAD returns the AEAD of a key.
func newAEAD(k Key) (cipher.AEAD, error) {
	switch k.suite {
	case AES128GCM:
		block, err := aes.NewCipher(k.key[:16])
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(block)
	case ChaCha20Poly1305:
		return chacha20poly1305.New(k.key[:])
	}
	return nil, fmt.Errorf("unknown %v", k.suite)
}

// nonce is the scratch a Sealer or Opener keeps, since a nonce on the stack
// would escape through the cipher.AEAD interface and cost an allocation.
type nonce struct {
	buf  [ivSize]byte
	tail uint64 // of the IV
}

func newNonce(iv [ivSize]byte) nonce {
	return nonce{buf: iv, tail: binary.BigEndian.Uint64(iv[ivSize-8:])}
}

// set makes the nonce of a packet number: the number as 64 bits in network
// order, padded on the left to the length of the IV, XOR the IV (RFC 8446 5.3).
func (n *nonce) set(pn uint64) []byte {
	binary.BigEndian.PutUint64(n.buf[ivSize-8:], n.tail^pn)
	return n.buf[:]
}

// Sealer seals the datagrams of one link in one direction. It is not safe for
// concurrent use.
type Sealer struct {
	aead  cipher.AEAD
	nonce nonce
	next  uint64 // smallest packet number still allowed
	left  uint64
}

// NewSealer returns a Sealer that has sealed nothing. There must be only one
// for a key.
func NewSealer(k Key) (*Sealer, error) {
	aead, err := newAEAD(k)
	if err != nil {
		return nil, fmt.Errorf("new sealer: %w", err)
	}
	return &Sealer{aead: aead, nonce: newNonce(k.iv), left: k.suite.SealLimit()}, nil
}

// Seal appends the sealed plaintext, [Overhead] bytes longer, to the header,
// which is authenticated, and returns the datagram. The header's capacity must
// leave room for all of it; the plaintext is not changed and must not be there.
// pn must be greater than that of every datagram sealed before. On an error
// nothing was sealed and nothing written.
func (s *Sealer) Seal(header, plaintext []byte, pn uint64) ([]byte, error) {
	n := len(plaintext) + Overhead
	if cap(header)-len(header) < n || len(header)+n > MaxDatagram {
		return nil, ErrBuffer
	}
	if pn < s.next || pn == math.MaxUint64 {
		return nil, ErrNumber
	}
	if s.left == 0 {
		return nil, ErrSealLimit
	}
	s.next = pn + 1
	s.left--
	return s.aead.Seal(header, s.nonce.set(pn), plaintext, header), nil
}

// Left returns how many datagrams the key may still seal.
func (s *Sealer) Left() uint64 { return s.left }

// Opener opens the datagrams of one link in one direction. It is not safe for
// concurrent use.
type Opener struct {
	aead  cipher.AEAD
	nonce nonce
	left  uint64 // forged datagrams still tolerated
}

// NewOpener returns an Opener for datagrams that the Sealer of the same key
// sealed.
func NewOpener(k Key) (*Opener, error) {
	aead, err := newAEAD(k)
	if err != nil {
		return nil, fmt.Errorf("new opener: %w", err)
	}
	return &Opener{aead: aead, nonce: newNonce(k.iv), left: k.suite.ForgeryLimit()}, nil
}

// Open checks and decrypts a datagram in place and returns its plaintext, which
// is part of datagram. The first adLen bytes are its header, pn is its packet
// number. It does not look for replays: that is [Window]'s. After an error the
// bytes behind the header are undefined.
func (o *Opener) Open(datagram []byte, adLen int, pn uint64) ([]byte, error) {
	if adLen < 0 || len(datagram) < adLen || len(datagram)-adLen < Overhead {
		return nil, ErrShort
	}
	if o.left == 0 {
		return nil, ErrForgeryLimit
	}
	body := datagram[adLen:]
	plaintext, err := o.aead.Open(body[:0], o.nonce.set(pn), body, datagram[:adLen])
	if err != nil {
		o.left--
		return nil, ErrForged
	}
	return plaintext, nil
}
