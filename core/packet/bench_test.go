package packet

import "testing"

// BenchmarkPool takes, shares and gives back a packet while 1,000 are in use.
func BenchmarkPool(b *testing.B) {
	o := NewPool(2000)
	var used [1000]*Packet
	for i := range used {
		used[i] = o.Get()
	}
	b.ReportAllocs()
	for i := range b.N {
		p := o.Get()
		p.Retain()
		p.Release()
		oldest := &used[i%len(used)]
		(*oldest).Release()
		*oldest = p
	}
}
