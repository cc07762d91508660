package control

import (
	"bytes"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
)

func TestServerRefusesOtherTLS(t *testing.T) {
	ecdsa, err := tls.X509KeyPair(ecdsaCert, ecdsaKey)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*tls.Config)
		want   string
	}{
		{"TLS 1.2", func(c *tls.Config) { c.MinVersion, c.MaxVersion = 0, tls.VersionTLS12 }, "unsupported versions"},
		{"no ALPN", func(c *tls.Config) { c.NextProtos = nil }, `it does not speak "multilink/1"`},
		{"a web browser", func(c *tls.Config) { c.NextProtos = []string{"h2"} }, "unsupported application protocols"},
		{"no certificate", func(c *tls.Config) { c.Certificates = nil }, "certificate"},
		{"another kind of key", func(c *tls.Config) { c.Certificates = []tls.Certificate{ecdsa} }, "a key of kind ECDSA instead of Ed25519"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, result := rawClient(t, tt.change)
			// In TLS 1.3 the client may think it is done: its error is not
			// looked at.
			_ = client.Handshake()
			if s := <-result; s.err == nil || !strings.Contains(s.err.Error(), tt.want) {
				t.Errorf("got %v, want %s", s.err, tt.want)
			}
		})
	}
}

func TestServerRefusesBadHello(t *testing.T) {
	other := testHello()
	other.Version = 2
	encoded := func(m Message) []byte {
		b, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tests := []struct {
		name     string
		in       []byte
		want     string
		rejected Code
	}{
		{"garbage", bytes.Repeat([]byte{0xa5}, 100), "malformed", CodeBadRequest},
		{"huge length", []byte{1, 0xff, 0xff, 0xff, 0xff}, "type 1 with 4294967295 bytes: at most 8192", CodeBadRequest},
		{"not JSON", []byte{1, 0, 0, 0, 1, 'x'}, "not a JSON object", CodeBadRequest},
		{"impossible", append([]byte{1, 0, 0, 0, 13}, `{"version":1}`...), "mtu 0: must be 1280..65535", CodeBadRequest},
		{"another message", encoded(Ping{}), "control.Ping before Hello", CodeBadRequest},
		{"another version", encoded(other), "the client speaks version 2 of the control protocol, the server version 1: update the older one", CodeVersion},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, result := rawClient(t, func(*tls.Config) {})
			if _, err := client.Write(tt.in); err != nil {
				t.Fatal(err)
			}
			s := <-result
			if s.err == nil || !strings.Contains(s.err.Error(), tt.want) {
				t.Errorf("got %v, want %s", s.err, tt.want)
			}
			got, err := (&Conn{tls: client}).Receive()
			if r, ok := got.(Reject); err != nil || !ok || r.Code != tt.rejected || !strings.Contains(r.Reason, tt.want) {
				t.Errorf("the client got %+v, %v", got, err)
			}
		})
	}
}

func TestServerBoundsWhatStrangersSend(t *testing.T) {
	t.Run("message types that it does not know", func(t *testing.T) {
		client, result := rawClient(t, func(*tls.Config) {})
		go func() {
			for {
				if _, err := client.Write(append([]byte{99, 0, 0, 4, 0}, make([]byte, 1024)...)); err != nil {
					return
				}
			}
		}()
		s := <-result
		if !errors.Is(s.err, errTooMuch) {
			t.Errorf("got %v", s.err)
		}
		client.NetConn().Close()
	})
	t.Run("bytes that are no TLS", func(t *testing.T) {
		a, b := loopback(t)
		result := serve(t, b, newKey(t), anyKey)
		if _, err := a.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if s := <-result; s.err == nil || !strings.Contains(s.err.Error(), "does not look like a TLS handshake") {
			t.Errorf("got %v", s.err)
		}
	})
	t.Run("a handshake message without end", func(t *testing.T) {
		a, b := loopback(t)
		result := serve(t, b, newKey(t), anyKey)
		go func() {
			// ClientHello of 60,000 bytes in records of 16,000.
			hello := append([]byte{1, 0, 60000 >> 8, 60000 & 0xff}, make([]byte, 60000)...)
			for len(hello) > 0 {
				n := min(16000, len(hello))
				if _, err := a.Write(append([]byte{22, 3, 1, byte(n >> 8), byte(n)}, hello[:n]...)); err != nil {
					return
				}
				hello = hello[n:]
			}
		}()
		if s := <-result; !errors.Is(s.err, errTooMuch) {
			t.Errorf("got %v", s.err)
		}
	})
}
