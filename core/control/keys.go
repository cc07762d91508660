package control

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// KeyTextLen is the length of a key in text form: 32 bytes in base64 with
// padding, as WireGuard writes its keys.
const KeyTextLen = 44

// PublicKey is an Ed25519 public key (RFC 8032): who a client or server is.
// The zero value is nobody's.
type PublicKey [ed25519.PublicKeySize]byte

// ParsePublicKey reads the text form.
func ParsePublicKey(s string) (PublicKey, error) {
	b, err := parseKey(s)
	if err != nil {
		return PublicKey{}, err
	}
	if k := PublicKey(b); !k.IsZero() {
		return k, nil
	}
	return PublicKey{}, errors.New("all zeros: not a public key")
}

// IsZero says whether the key is unset.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// String returns the text form.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// MarshalText returns the text form.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the text form.
func (k *PublicKey) UnmarshalText(text []byte) (err error) {
	*k, err = ParsePublicKey(string(text))
	return err
}

// PrivateKey is an Ed25519 private key, kept as its seed (RFC 8032 5.1.5). It
// shows itself only through Text. The zero value is no key.
type PrivateKey struct {
	seed [ed25519.SeedSize]byte
}

// GenerateKey makes a new private key.
func GenerateKey() (PrivateKey, error) {
	var k PrivateKey
	if _, err := rand.Read(k.seed[:]); err != nil {
		return PrivateKey{}, fmt.Errorf("generate key: %w", err)
	}
	return k, nil
}

// ParsePrivateKey reads the text form. Its errors do not repeat the text.
func ParsePrivateKey(s string) (PrivateKey, error) {
	b, err := parseKey(s)
	if err != nil {
		return PrivateKey{}, err
	}
	if k := (PrivateKey{seed: b}); !k.IsZero() {
		return k, nil
	}
	return PrivateKey{}, errors.New("all zeros: not a private key")
}

// IsZero says whether the key is unset.
func (k PrivateKey) IsZero() bool { return k == PrivateKey{} }

// Public returns the public key that belongs to it.
func (k PrivateKey) Public() PublicKey {
	return PublicKey(k.signer().Public().(ed25519.PublicKey))
}

// Text returns the text form, the secret itself.
func (k PrivateKey) Text() string { return base64.StdEncoding.EncodeToString(k.seed[:]) }

// String does not show the key.
func (k PrivateKey) String() string { return "(private key)" }

// GoString does not show the key.
func (k PrivateKey) GoString() string { return k.String() }

// LogValue does not show the key.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

func (k PrivateKey) signer() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.seed[:]) }

func parseKey(s string) (key [32]byte, err error) {
	if len(s) != KeyTextLen {
		return key, fmt.Errorf("%d characters: a key has %d (32 bytes in base64)", len(s), KeyTextLen)
	}
	// Strict refuses stray bits in the last character and line breaks: one
	// key has one text.
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return key, fmt.Errorf("not base64: a key has %d characters of A-Z a-z 0-9 + / and ends in =", KeyTextLen)
	}
	if len(b) != len(key) {
		return key, fmt.Errorf("%d bytes in base64: a key has 32", len(b))
	}
	return [32]byte(b), nil
}
