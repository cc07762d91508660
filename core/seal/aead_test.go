package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// testExporter gives bytes that depend on every parameter.
func testExporter(secret byte) Exporter {
	return func(label string, context []byte, n int) ([]byte, error) {
		return hkdf.Key(sha256.New, []byte{secret}, context, label, n)
	}
}

func testKeys(t testing.TB, s Suite) LinkKeys {
	t.Helper()
	keys, err := Derive(testExporter(1), Binding{Suite: s, Link: 3, ClientIndex: 0x01020304, ServerIndex: 0xf1f2f3f4})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func testPair(t testing.TB, s Suite) (*Sealer, *Opener) {
	t.Helper()
	k := testKeys(t, s).ClientToServer
	sealer, err := NewSealer(k)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := NewOpener(k)
	if err != nil {
		t.Fatal(err)
	}
	return sealer, opener
}

func forEachSuite(t *testing.T, f func(*testing.T, Suite)) {
	for _, s := range Preferred(true) {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

// header returns a header with room for the longest datagram.
func header(ad string) []byte { return append(make([]byte, 0, MaxDatagram), ad...) }

func TestRoundTrip(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sealer, opener := testPair(t, s)
		for i, text := range []string{"", "x", strings.Repeat("packet", 200)} {
			pn := uint64(i) * 1000
			head, plaintext := header("the header is 16"), []byte(text)
			sealed, err := sealer.Seal(head, plaintext, pn)
			if err != nil {
				t.Fatal(err)
			}
			if &sealed[0] != &head[0] || len(sealed) != 16+len(text)+Overhead || string(sealed[:16]) != "the header is 16" {
				t.Fatalf("not sealed behind its header: %q", sealed)
			}
			if string(plaintext) != text {
				t.Fatal("the plaintext changed")
			}
			if len(text) > 8 && bytes.Contains(sealed, []byte(text)) {
				t.Fatal("plaintext shows")
			}
			got, err := opener.Open(sealed, 16, pn)
			if err != nil || string(got) != text {
				t.Fatalf("Open = %q, %v", got, err)
			}
		}
	})
}

// TestNonce pins the construction of the nonce, since both ends of a test
// with the same mistake would agree.
func TestNonce(t *testing.T) {
	k := testKeys(t, AES128GCM).ClientToServer
	sealer, _ := testPair(t, AES128GCM)
	const pn = 0x0102030405060708
	sealed, err := sealer.Seal(header("head"), []byte("text"), pn)
	if err != nil {
		t.Fatal(err)
	}
	nonce := bytes.Clone(k.iv[:])
	for i := range 8 {
		nonce[4+i] ^= byte(i + 1)
	}
	block, _ := aes.NewCipher(k.key[:16])
	gcm, _ := cipher.NewGCM(block)
	if want := gcm.Seal([]byte("head"), nonce, []byte("text"), []byte("head")); !bytes.Equal(sealed, want) {
		t.Errorf("got %x, want %x", sealed, want)
	}
}

func TestSealRefuses(t *testing.T) {
	sealer, _ := testPair(t, AES128GCM)
	if _, err := sealer.Seal(header("h"), []byte("p"), 10); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		header []byte
		length int
		pn     uint64
		want   error
	}{
		{"the same number", header("h"), 1, 10, ErrNumber},
		{"a smaller number", header("h"), 1, 0, ErrNumber},
		{"the greatest number", header("h"), 1, math.MaxUint64, ErrNumber},
		{"no room for the tag", make([]byte, 1, 20+Overhead-1), 19, 11, ErrBuffer},
		{"too long", make([]byte, 1, 2*MaxDatagram), MaxDatagram - Overhead, 11, ErrBuffer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all := tt.header[:cap(tt.header)]
			before := bytes.Clone(all)
			if _, err := sealer.Seal(tt.header, make([]byte, tt.length), tt.pn); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if !bytes.Equal(before, all) {
				t.Error("something was written")
			}
		})
	}
	if _, err := sealer.Seal(header("h"), []byte("p"), 11); err != nil {
		t.Errorf("after the refusals: %v", err)
	}
}

func TestLimits(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sealer, opener := testPair(t, s)
		if sealer.Left() != s.SealLimit() || s.SealLimit() == 0 {
			t.Fatalf("Left = %d, limit %d", sealer.Left(), s.SealLimit())
		}
		sealer.left, opener.left = 1, 1
		if _, err := sealer.Seal(header("h"), []byte("p"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := sealer.Seal(header("h"), []byte("p"), 1); !errors.Is(err, ErrSealLimit) {
			t.Errorf("got %v, want %v", err, ErrSealLimit)
		}
		if _, err := opener.Open(make([]byte, 40), 1, 0); !errors.Is(err, ErrForged) {
			t.Errorf("got %v, want %v", err, ErrForged)
		}
		if _, err := opener.Open(make([]byte, 40), 1, 0); !errors.Is(err, ErrForgeryLimit) {
			t.Errorf("got %v, want %v", err, ErrForgeryLimit)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sealer, opener := testPair(t, s)
		sealed, err := sealer.Seal(header("head"), []byte("some plaintext"), 77)
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(sealed) * 8 {
			bad := bytes.Clone(sealed)
			bad[i/8] ^= 1 << (i % 8)
			if _, err := opener.Open(bad, 4, 77); !errors.Is(err, ErrForged) {
				t.Fatalf("bit %d flipped: %v", i, err)
			}
		}
		for n := range len(sealed) {
			want := ErrForged
			if n < 4+Overhead {
				want = ErrShort
			}
			if _, err := opener.Open(bytes.Clone(sealed[:n]), 4, 77); !errors.Is(err, want) {
				t.Fatalf("cut to %d bytes: %v, want %v", n, err, want)
			}
		}
		if _, err := opener.Open(bytes.Clone(sealed), 4, 78); !errors.Is(err, ErrForged) {
			t.Errorf("another packet number: %v", err)
		}
		if _, err := opener.Open(bytes.Clone(sealed), -1, 77); !errors.Is(err, ErrShort) {
			t.Errorf("a negative header: %v", err)
		}
		other, err := NewOpener(testKeys(t, s).ServerToClient)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Open(bytes.Clone(sealed), 4, 77); !errors.Is(err, ErrForged) {
			t.Errorf("reflected to its sender: %v", err)
		}
	})
}

func TestUnknownSuite(t *testing.T) {
	if _, err := NewSealer(Key{}); err == nil {
		t.Error("a sealer without a suite")
	}
	if _, err := NewOpener(Key{}); err == nil {
		t.Error("an opener without a suite")
	}
}

func TestNoAllocation(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sealer, opener := testPair(t, s)
		window := NewWindow(WindowSize)
		head, plaintext := header("the header is 16"), make([]byte, 1400)
		pn := uint64(0)
		got := testing.AllocsPerRun(100, func() {
			pn++
			sealed, err := sealer.Seal(head, plaintext, pn)
			if err != nil {
				t.Fatal(err)
			}
			if err := window.Check(pn); err != nil {
				t.Fatal(err)
			}
			if _, err := opener.Open(sealed, 16, pn); err != nil {
				t.Fatal(err)
			}
			window.Mark(pn)
		})
		if got != 0 {
			t.Errorf("%v allocations per datagram", got)
		}
	})
}

// TestNonceNeverRepeats lets links join, leave, rekey and send in any order,
// with packet numbers good and bad, and looks for a (key, nonce) pair that was
// used twice.
func TestNonceNeverRepeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type use struct {
			key   Key
			nonce [ivSize]byte
		}
		used := map[use]bool{}
		sealers, keys := map[int]*Sealer{}, map[int]Key{}
		connections := uint32(0)
		connect := func(link int) {
			// A new control connection: a new exporter secret and index.
			connections++
			k, err := Derive(func(label string, context []byte, n int) ([]byte, error) {
				out := make([]byte, n)
				binary.BigEndian.PutUint32(out, connections)
				return out, nil
			}, Binding{Suite: AES128GCM, ClientIndex: connections})
			if err != nil {
				t.Fatal(err)
			}
			keys[link] = k.ClientToServer
			if sealers[link], err = NewSealer(keys[link]); err != nil {
				t.Fatal(err)
			}
		}
		link := rapid.IntRange(0, 3)
		t.Repeat(map[string]func(*rapid.T){
			"connect": func(t *rapid.T) { connect(link.Draw(t, "link")) },
			"leave":   func(t *rapid.T) { delete(sealers, link.Draw(t, "link")) },
			"send": func(t *rapid.T) {
				id := link.Draw(t, "link")
				if sealers[id] == nil {
					t.Skip("no such link")
				}
				pn := rapid.Uint64Range(0, 40).Draw(t, "pn")
				if _, err := sealers[id].Seal(header("h"), []byte("p"), pn); err != nil {
					return
				}
				u := use{keys[id], sealers[id].nonce.buf}
				if used[u] {
					t.Fatalf("packet number %d of link %d was used twice", pn, id)
				}
				used[u] = true
			},
		})
	})
}

func FuzzOpen(f *testing.F) {
	sealer, _ := testPair(f, AES128GCM)
	sealed, err := sealer.Seal(header("head"), []byte("text"), 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, 4, uint64(2))
	f.Add([]byte{}, 0, uint64(0))
	f.Fuzz(func(t *testing.T, datagram []byte, adLen int, pn uint64) {
		_, opener := testPair(t, AES128GCM)
		if _, err := opener.Open(datagram, adLen, pn); err == nil && pn != 1 {
			t.Error("opened what nobody sealed")
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, s := range Preferred(true) {
		for _, size := range []int{200, 1408} {
			b.Run(fmt.Sprintf("%s/%d", s, size), func(b *testing.B) {
				sealer, _ := testPair(b, s)
				head, plaintext := header("the header is 16"), make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := sealer.Seal(head, plaintext, uint64(i)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
