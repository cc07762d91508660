// Package seal protects datagrams: it derives the keys of a link from the TLS
// exporter of its control connection, seals datagrams, opens them in place, and
// remembers which packet numbers were seen.
//
// Each link has one [Key] per direction and a packet-number space of its own.
// The number is the nonce, so a [Sealer] refuses any number that does not
// grow: no nonce is ever used twice under one key. A receiver works in the
// order [Window.Check], [Opener.Open], [Window.Mark], so that a datagram that
// is not authentic changes nothing.
//
// The package is pure: no goroutine, lock, socket or clock.
package seal

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/cpu"
)

// Suite is an AEAD and its key size. The zero value is no suite.
type Suite uint8

// The suites. Both have a nonce of 12 bytes and a tag of [Overhead] bytes.
const (
	// AES128GCM is AEAD_AES_128_GCM (RFC 5116 5.1), the fastest where the
	// processor has AES instructions. Without them it is slow and its timing
	// depends on the key, so it is not offered.
	AES128GCM Suite = 1
	// ChaCha20Poly1305 is AEAD_CHACHA20_POLY1305 (RFC 8439 2.8).
	ChaCha20Poly1305 Suite = 2
)

// Overhead is the number of bytes that sealing adds to a datagram: the tag.
const Overhead = 16

// MaxDatagram is the longest datagram, in bytes with header and tag, that is
// sealed. The limits of [Suite.SealLimit] are computed for this length.
const MaxDatagram = 2048

type suiteInfo struct {
	name       string
	keySize    int
	sealLimit  uint64
	forgeryLim uint64
}

var suites = map[Suite]suiteInfo{
	// RFC 9001 B.1.1 and B.1.2 for packets of at most 2^11 bytes: 2^28 sealed
	// and 2^57 forged keep an attacker's advantage under 2^-57. 2^28
	// datagrams of 1400 bytes are 376 GB: 50 minutes at 1 Gbit/s.
	AES128GCM: {name: "aes-128-gcm", keySize: 16, sealLimit: 1 << 28, forgeryLim: 1 << 57},
	// RFC 9001 6.6 and B.2: no confidentiality limit below the number of
	// packets there can be, 2^36 forged.
	ChaCha20Poly1305: {name: "chacha20-poly1305", keySize: 32, sealLimit: 1 << 62, forgeryLim: 1 << 36},
}

// String returns the name that ParseSuite reads.
func (s Suite) String() string {
	if info, ok := suites[s]; ok {
		return info.name
	}
	return fmt.Sprintf("suite %d", uint8(s))
}

// ParseSuite returns the suite of that name.
func ParseSuite(name string) (Suite, error) {
	for s, info := range suites {
		if info.name == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("unknown cipher suite %q: must be one of %s", name, strings.Join(Names(Preferred(true)), ", "))
}

// SealLimit is the number of datagrams that may be sealed under one key.
func (s Suite) SealLimit() uint64 { return suites[s].sealLimit }

// ForgeryLimit is the number of datagrams that may fail authentication under
// one key before the key must not be used any more.
func (s Suite) ForgeryLimit() uint64 { return suites[s].forgeryLim }

// Preferred returns the suites that a host offers, the best first. hasAES
// says that its processor has AES instructions; see [HasAES].
func Preferred(hasAES bool) []Suite {
	if hasAES {
		return []Suite{AES128GCM, ChaCha20Poly1305}
	}
	return []Suite{ChaCha20Poly1305}
}

// Negotiate returns the first suite of the client's list that the server has
// too. With lists made by [Preferred] that is AES-128-GCM where both
// processors have AES instructions, else ChaCha20-Poly1305.
func Negotiate(client, server []Suite) (Suite, error) {
	for _, s := range client {
		if _, known := suites[s]; known && slices.Contains(server, s) {
			return s, nil
		}
	}
	return 0, fmt.Errorf("no cipher suite in common: the client has %v, the server %v", Names(client), Names(server))
}

// Names returns the names of the suites, in the same order.
func Names(list []Suite) []string {
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.String()
	}
	return names
}

// ParseSuites returns the suites of those names in the same order and leaves
// out names that it does not know, as a newer peer may send.
func ParseSuites(names []string) []Suite {
	var list []Suite
	for _, name := range names {
		if s, err := ParseSuite(name); err == nil {
			list = append(list, s)
		}
	}
	return list
}

// HasAES says whether this processor has the instructions that make
// AES-128-GCM fast and its timing constant.
func HasAES() bool {
	switch runtime.GOARCH {
	case "amd64":
		return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSE41 && cpu.X86.HasSSSE3
	case "arm64":
		return cpu.ARM64.HasAES && cpu.ARM64.HasPMULL
	}
	return false
}
