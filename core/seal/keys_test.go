package seal

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestDeriveSeparates(t *testing.T) {
	base := Binding{Suite: ChaCha20Poly1305, Link: 1, ClientIndex: 2, ServerIndex: 3}
	derive := func(secret byte, b Binding) LinkKeys {
		keys, err := Derive(testExporter(secret), b)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	want := derive(1, base)
	if derive(1, base) != want {
		t.Error("both ends would get different keys")
	}
	if want.ClientToServer == want.ServerToClient {
		t.Error("one key for both directions")
	}
	changed := func(f func(*Binding)) Binding { b := base; f(&b); return b }
	others := map[string]LinkKeys{
		"connection":   derive(2, base),
		"suite":        derive(1, changed(func(b *Binding) { b.Suite = AES128GCM })),
		"link":         derive(1, changed(func(b *Binding) { b.Link = 2 })),
		"client index": derive(1, changed(func(b *Binding) { b.ClientIndex = 9 })),
		"server index": derive(1, changed(func(b *Binding) { b.ServerIndex = 9 })),
	}
	for name, keys := range others {
		if keys.ClientToServer == want.ClientToServer || keys.ServerToClient == want.ServerToClient {
			t.Errorf("another %s gives the same key", name)
		}
	}
}

func TestDeriveErrors(t *testing.T) {
	if _, err := Derive(testExporter(1), Binding{}); err == nil {
		t.Error("no suite, no error")
	}
	broken := errors.New("broken")
	if _, err := Derive(func(string, []byte, int) ([]byte, error) { return nil, broken }, Binding{Suite: AES128GCM}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := Derive(func(string, []byte, int) ([]byte, error) { return []byte{1}, nil }, Binding{Suite: AES128GCM}); err == nil {
		t.Error("too few bytes, no error")
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	k := testKeys(t, AES128GCM)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, k.ClientToServer); got != "seal.Key(aes-128-gcm)" {
			t.Errorf("%s gives %s", verb, got)
		}
	}
	if got := fmt.Sprintf("%+v", k); strings.Contains(got, fmt.Sprint(k.ClientToServer.key[0])+" ") {
		t.Errorf("the keys of a link show: %s", got)
	}
}
