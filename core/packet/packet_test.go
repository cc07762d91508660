package packet

import (
	"bytes"
	"testing"

	"github.com/multilink-vpn/multilink/core/wire"
)

func TestPoolLimitReuseAndTrim(t *testing.T) {
	o := NewPool(2)
	a, b := o.Get(), o.Get()
	if a == nil || b == nil {
		t.Fatal("no packet below the limit")
	}
	if o.Get() != nil {
		t.Fatal("a packet above the limit")
	}
	a.Retain()
	a.Release()
	if o.Live() != 2 {
		t.Fatalf("live = %d with a reference left, want 2", o.Live())
	}
	a.Data, a.Tries = append(a.Data, 1, 2, 3), 2
	a.Release()
	if c := o.Get(); c != a || len(c.Data) != 0 || c.Tries != 0 {
		t.Fatal("a reused packet is not empty")
	}
	a.Release()
	b.Release()
	o.Trim(1)
	if o.Live() != 0 || len(o.free) != 1 {
		t.Fatalf("live = %d, free = %d, want 0 and 1", o.Live(), len(o.free))
	}
}

func TestReleaseTooOften(t *testing.T) {
	p := NewPool(1).Get()
	p.Release()
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	p.Release()
}

func TestNoAllocationInSteadyState(t *testing.T) {
	o := NewPool(4)
	if n := testing.AllocsPerRun(100, func() { o.Get().Release() }); n > 0 {
		t.Errorf("%v allocations a round, want 0", n)
	}
}

func TestBehind(t *testing.T) {
	p := NewPool(1).Get()
	p.Data = append(p.Data, "abcdefghijklmnopqrstu"...)
	for part, want := range map[wire.Part]string{
		wire.Whole: "abcdefghijklmnopqrstu", wire.FirstHalf: "abcdefghijk", wire.SecondHalf: "lmnopqrstu",
	} {
		for _, n := range []int{0, wire.PacketHeaderLen, Headroom} {
			b := p.Behind(n, part)
			if len(b) != n+len(want) || string(b[n:]) != want {
				t.Errorf("part %d behind %d bytes: %q", part, n, b)
			}
			if part != wire.SecondHalf {
				copy(b, bytes.Repeat([]byte{'!'}, n))
			}
		}
	}
	if string(p.Data) != "abcdefghijklmnopqrstu" {
		t.Errorf("a header changed the packet: %q", p.Data)
	}
}
