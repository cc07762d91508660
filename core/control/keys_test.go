package control

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestKeyText(t *testing.T) {
	private, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(private.Text()); n != KeyTextLen {
		t.Errorf("%d characters", n)
	}
	again, err := ParsePrivateKey(private.Text())
	if err != nil || again != private {
		t.Errorf("ParsePrivateKey: %v", err)
	}
	public, err := ParsePublicKey(private.Public().String())
	if err != nil || public != private.Public() {
		t.Errorf("ParsePublicKey = %v, %v", public, err)
	}
	text, err := json.Marshal(public)
	if err != nil {
		t.Fatal(err)
	}
	var back PublicKey
	if err := json.Unmarshal(text, &back); err != nil || back != public {
		t.Errorf("JSON gives %v, %v", back, err)
	}
}

func TestKnownKey(t *testing.T) {
	// RFC 8032 7.1, test 1.
	seed := "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
	public := "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
	var raw []byte
	if _, err := fmt.Sscanf(seed, "%x", &raw); err != nil {
		t.Fatal(err)
	}
	k, err := ParsePrivateKey(base64.StdEncoding.EncodeToString(raw))
	if err != nil {
		t.Fatal(err)
	}
	if p := k.Public(); fmt.Sprintf("%x", p[:]) != public {
		t.Errorf("got %x, want %s", p[:], public)
	}
}

func TestBadKeys(t *testing.T) {
	zeros := base64.StdEncoding.EncodeToString(make([]byte, 32))
	tests := []struct{ name, text, want string }{
		{"empty", "", "0 characters: a key has 44 (32 bytes in base64)"},
		{"short", "AAAA", "4 characters: a key has 44 (32 bytes in base64)"},
		{"a character that is none", strings.Repeat("A", 42) + "!=", "not base64: a key has 44 characters of A-Z a-z 0-9 + / and ends in ="},
		{"line break inside", strings.Repeat("A", 20) + "\n" + strings.Repeat("A", 22) + "=", "not base64: a key has 44 characters of A-Z a-z 0-9 + / and ends in ="},
		{"stray bits", strings.Repeat("A", 42) + "B=", "not base64: a key has 44 characters of A-Z a-z 0-9 + / and ends in ="},
		{"33 bytes", strings.Repeat("A", 44), "33 bytes in base64: a key has 32"},
		{"zeros", zeros, "all zeros: not a "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParsePublicKey(tt.text)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("public: got %v, want %s", err, tt.want)
			}
			_, err = ParsePrivateKey(tt.text)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("private: got %v, want %s", err, tt.want)
			}
			if err != nil && len(tt.text) > 4 && strings.Contains(err.Error(), tt.text) {
				t.Error("the error repeats the key")
			}
		})
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	h := Hello{Session: SessionRef{ID: "s", Secret: Secret("hunter2")}}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "secret", h.Session.Secret)
	for _, got := range []string{
		fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), log.String(),
		fmt.Sprintf("%v", h), fmt.Sprintf("%+v", h), fmt.Sprintf("%#v", h),
	} {
		if strings.Contains(got, k.Text()) || strings.Contains(got, "hunter2") || strings.Contains(got, "104") {
			t.Errorf("a secret shows: %s", got)
		}
	}
}
