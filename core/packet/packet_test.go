package packet

import "testing"

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
