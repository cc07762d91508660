package packet

import (
	"bytes"
	"reflect"
	"testing"
	"unsafe"

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
	a.Data = append(a.Data, 1, 2, 3)
	a.Release()
	if c := o.Get(); c != a || len(c.Data) != 0 || cap(c.Data) != Size {
		t.Fatal("a reused packet is not empty")
	}
	a.Release()
	b.Release()
	o.Trim(1)
	if o.Live() != 0 || len(o.free) != 1 {
		t.Fatalf("live = %d, free = %d, want 0 and 1", o.Live(), len(o.free))
	}
}

// TestReusedPacketIsNew sets all that can be set of a packet that is given back.
func TestReusedPacketIsNew(t *testing.T) {
	p := NewPool(1).Get()
	var set func(v reflect.Value)
	set = func(v reflect.Value) {
		for _, f := range reflect.VisibleFields(v.Type()) {
			switch v := v.FieldByIndex(f.Index); {
			case !v.CanSet():
			case v.Kind() == reflect.Struct:
				set(v)
			case v.Kind() == reflect.Bool:
				v.SetBool(true)
			case v.CanInt():
				v.SetInt(1)
			case v.CanUint():
				v.SetUint(1)
			}
		}
	}
	set(reflect.ValueOf(p).Elem())
	if p.Header.LostNumber != 1 || !p.Call || p.Sent != 1 {
		t.Fatalf("not all is set: %+v", p)
	}
	p.Release()
	again := reflect.ValueOf(p.pool.Get()).Elem()
	for _, f := range reflect.VisibleFields(again.Type()) {
		if f.IsExported() && f.Name != "Data" && !again.FieldByIndex(f.Index).IsZero() {
			t.Errorf("%s of a reused packet is %v", f.Name, again.FieldByIndex(f.Index))
		}
	}
}

// TestPacketFitsItsClass: Go's allocator has a class of 1,536 bytes and puts 8 in
// front of an object of that size; the next class is 1,792.
func TestPacketFitsItsClass(t *testing.T) {
	if n := unsafe.Sizeof(Packet{}); n > 1536-8 {
		t.Errorf("a packet is %d bytes", n)
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
