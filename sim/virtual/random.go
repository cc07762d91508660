package virtual

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"github.com/multilink-vpn/multilink/sim/scenario"
)

// seedOf is the seed of a part of the simulation.
func (s *Simulation) seedOf(parts ...string) uint64 { return scenario.DeriveSeed(s.cfg.Seed, parts...) }

// newStream is a stream of random bytes by seed.
func newStream(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// source is a math/rand source (of the first version, as gVisor wants it) that
// several goroutines may use.
type source struct {
	mu     sync.Mutex
	stream *rand.ChaCha8
}

// Int63 implements rand.Source.
func (s *source) Int63() int64 { return int64(s.Uint64() >> 1) }

// Uint64 implements rand.Source64.
func (s *source) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Uint64()
}

// Seed implements rand.Source; the seed is given when the source is made.
func (*source) Seed(int64) {}

// Read gives random bytes.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Read(p)
}
