package session

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// TestChallengeOutlastsSlowLinks: a challenge is still open when the answer
// comes over a link with a round trip of seconds, and is given up in the end.
func TestChallengeOutlastsSlowLinks(t *testing.T) {
	const start = core.Time(time.Second)
	c := candidate{at: start}
	for c.tries = 1; c.tries < challengeTries; c.tries++ {
		c.at = c.due()
	}
	if open := c.due().Sub(start); open < 8*time.Second || open > 10*time.Second {
		t.Errorf("open for %v", open)
	}
}
