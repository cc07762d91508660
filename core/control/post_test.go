package control

import (
	"slices"
	"testing"
)

// TestPostedInOrder: what is posted while the connection does not move waits in
// one message of each type, the newest; nothing older comes after it.
func TestPostedInOrder(t *testing.T) {
	client, server := connected(t) // a pipe: nothing leaves until it is read
	const n = 1000
	for i := range n {
		client.Post(LinkPolicy{Rules: LinkRules{Cap: float64(i)}})
	}
	client.Post(QoS{Refused: "the last"})
	client.posts.mu.Lock()
	if waiting := len(client.posts.waiting); waiting > 2 {
		t.Errorf("%d messages of two types wait", waiting)
	}
	client.posts.mu.Unlock()
	server.SetIdleTimeout(patience)
	var caps []float64
	for {
		m, err := server.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if _, last := m.(QoS); last {
			break
		}
		caps = append(caps, m.(LinkPolicy).Rules.Cap)
	}
	if len(caps) == 0 || !slices.IsSorted(caps) || caps[len(caps)-1] != n-1 {
		t.Errorf("caps came as %v, want the last to be %d", caps, n-1)
	}
}

// TestPostFails: a message that cannot be sent ends the connection, and those that
// are posted later wait for nobody.
func TestPostFails(t *testing.T) {
	client, server := connected(t)
	client.Post(QoS{Refused: "two\nlines"})
	server.SetIdleTimeout(patience)
	if m, err := server.Receive(); err == nil {
		t.Errorf("%v came", m)
	}
	for range 3 {
		client.Post(Ping{ID: 1})
	}
	if n := len(client.posts.waiting); n != 1 {
		t.Errorf("%d messages wait, want one", n)
	}
}
