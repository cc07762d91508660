package seal_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/seal"
)

func TestSuiteNames(t *testing.T) {
	for _, s := range []seal.Suite{seal.AES128GCM, seal.ChaCha20Poly1305} {
		got, err := seal.ParseSuite(s.String())
		if err != nil || got != s {
			t.Errorf("ParseSuite(%q) = %v, %v", s, got, err)
		}
	}
	_, err := seal.ParseSuite("rot13")
	want := `unknown cipher suite "rot13": must be one of aes-128-gcm, chacha20-poly1305`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := seal.ParseSuites([]string{"from-the-future", "chacha20-poly1305"}); !slices.Equal(got, []seal.Suite{seal.ChaCha20Poly1305}) {
		t.Errorf("ParseSuites = %v", got)
	}
	if got := seal.Suite(9).String(); got != "suite 9" {
		t.Errorf("String of an unknown suite = %q", got)
	}
}

func TestNegotiate(t *testing.T) {
	both, soft := seal.Preferred(true), seal.Preferred(false)
	tests := []struct {
		name           string
		client, server []seal.Suite
		want           seal.Suite
	}{
		{"both have AES", both, both, seal.AES128GCM},
		{"client has none", soft, both, seal.ChaCha20Poly1305},
		{"server has none", both, soft, seal.ChaCha20Poly1305},
		{"neither has", soft, soft, seal.ChaCha20Poly1305},
		{"unknown in common", []seal.Suite{7, seal.AES128GCM}, []seal.Suite{7, seal.AES128GCM}, seal.AES128GCM},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := seal.Negotiate(tt.client, tt.server)
			if err != nil || got != tt.want {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
	_, err := seal.Negotiate(nil, both)
	if err == nil || !strings.Contains(err.Error(), "no cipher suite in common: the client has [], the server [aes-128-gcm chacha20-poly1305]") {
		t.Errorf("got %v", err)
	}
}
