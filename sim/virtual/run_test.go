package virtual

import (
	"encoding/json"
	"testing"
)

const twoLinks = `
name: two-links
warmup: 2s
links:
  - {name: a, both: {rate: 50mbit, delay: 10ms}}
  - {name: b, both: {rate: 20mbit, delay: 40ms}}
client: {scheduler: wrr, reorder: global}
traffic:
  - {name: dl, kind: tcp, duration: 10s}
  - {name: ping, kind: ping, interval: 100ms, duration: 10s}
expect:
  - dl.goodput > 1e6
  - ping.loss == 0
`

func TestDownload(t *testing.T) {
	r := runText(t, twoLinks)
	r.Series = nil
	text, _ := json.MarshalIndent(r, "", " ")
	t.Logf("%s", text)
}
