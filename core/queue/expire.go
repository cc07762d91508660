package queue

import "github.com/multilink-vpn/multilink/core/packet"

// Expire drops the packets that are old, and returns how many. To the receiver
// they are lost.
func (q *Queue) Expire(old func(*packet.Packet) bool) (dropped int) {
	for _, b := range q.buckets {
		for i := 0; b != nil && i < b.len(); {
			if !old(b.packets[b.head+i]) {
				i++
				continue
			}
			q.remove(b, i).Release()
			dropped++
		}
	}
	if dropped > 0 {
		q.current = nil // whose turn it is may have nothing left
	}
	return dropped
}
