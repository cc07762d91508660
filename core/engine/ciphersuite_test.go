package engine

import "testing"

// TestSuites: what the processors of both ends can do decides about the cipher,
// and both ends show it.
func TestSuites(t *testing.T) {
	for _, tt := range []struct {
		name           string
		client, server bool // have AES instructions
		want           string
	}{
		{"both have AES", true, true, "aes-128-gcm"},
		{"the client has none", false, true, "chacha20-poly1305"},
		{"the server has none", true, false, "chacha20-poly1305"},
		{"neither has", false, false, "chacha20-poly1305"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, key := newWorld(t), newKey(t)
			w.clientAES, w.serverAES = tt.client, tt.server
			server := w.server(nil, key)
			client := w.client(key, nil, iface("wan0", 1), iface("wan1", 2))
			client.waitLinks("wan0", "wan1")
			crosses(t, client.process, server.process, client.address(), outside, "up")
			crosses(t, server.process, client.process, outside, client.address(), "down")
			if got := client.Status().Session.Suite; got != tt.want {
				t.Errorf("the client shows %q, want %q", got, tt.want)
			}
			if got := server.Status().Clients[0].Suite; got != tt.want {
				t.Errorf("the server shows %q, want %q", got, tt.want)
			}
		})
	}
}
