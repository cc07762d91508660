package queue

import "github.com/multilink-vpn/multilink/core"

// Expire drops the packets that came before a moment, and returns how many. To
// the receiver they are lost.
func (q *Queue) Expire(before core.Time) (dropped int) {
	for _, b := range q.buckets {
		for b != nil && b.len() > 0 && b.packets[b.head].Since < before {
			q.remove(b, 0).Release()
			dropped++
		}
	}
	if dropped > 0 {
		q.current = nil // whose turn it is may have nothing left
	}
	return dropped
}
