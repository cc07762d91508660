package traffic

import (
	"bytes"
	"testing"
)

func TestContent(t *testing.T) {
	sent := make([]byte, 10000)
	_, _ = newContent(7, "down").Read(sent)
	c := newContent(7, "down")
	for _, part := range [][]byte{sent[:1], sent[1:4000], sent[4000:]} {
		if err := c.check(part); err != nil {
			t.Fatal(err)
		}
	}
	changed := bytes.Clone(sent)
	changed[1234] ^= 1
	c = newContent(7, "down")
	if err := c.check(changed[:1000]); err != nil {
		t.Fatal(err)
	}
	err := c.check(changed[1000:])
	if err == nil || err.Error() != "content differs from what was sent at byte 1234" {
		t.Errorf("a changed byte gives %v", err)
	}
	if newContent(7, "up").check(sent[:64]) == nil || newContent(8, "down").check(sent[:64]) == nil {
		t.Error("another direction or seed has the same content")
	}
}
