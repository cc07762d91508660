package queue

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core/packet"
)

func push(t *testing.T, q *Queue, o *packet.Pool, size int, flow uint32, class uint8) {
	t.Helper()
	p := packetOf(o, size, flow)
	p.Class = class
	if got := q.Push(1, p, Conditions{}); got != Accepted {
		t.Fatal(got)
	}
}

// TestClassShares: backlogged classes share by weight, whatever the number of
// flows and the size of their packets; what one leaves goes to the others.
func TestClassShares(t *testing.T) {
	for _, c := range []struct {
		name  string
		flows [Classes]int
		want  [Classes]float64
	}{
		{"highest and lowest", [Classes]int{1, 0, 1}, [Classes]float64{1. / 17, 0, 16. / 17}},
		{"many low flows", [Classes]int{8, 0, 1}, [Classes]float64{1. / 17, 0, 16. / 17}},
		{"all", [Classes]int{1, 1, 1}, [Classes]float64{1. / 20, 3. / 20, 16. / 20}},
		{"two low ones", [Classes]int{1, 1, 0}, [Classes]float64{1. / 4, 3. / 4, 0}},
		{"one alone", [Classes]int{0, 2, 0}, [Classes]float64{0, 1, 0}},
	} {
		q, o := New(1<<30), packet.NewPool(200_000)
		q.SetClasses(true)
		const total = 2_000_000
		for class, flows := range c.flows {
			for flow := range flows {
				size := 1400 - 1000*(flow%2) - 300*class
				for sent := 0; sent < total; sent += size {
					push(t, q, o, size, uint32(flow), uint8(class))
				}
			}
		}
		var got [Classes]float64
		for sum := 0; sum < total; {
			p, _ := q.Take(0)
			got[p.Class] += float64(len(p.Data)) / total
			sum += len(p.Data)
			p.Release()
		}
		for class, share := range got {
			if want := c.want[class]; share < want-0.005 || share > want+0.005 {
				t.Errorf("%s: class %d got %.3f, want %.3f", c.name, class, share, want)
			}
		}
	}
}

// TestNewLowFlowGoesSoon: a sparse flow of the lowest class does not wait for a
// round of the highest.
func TestNewLowFlowGoesSoon(t *testing.T) {
	q, o := New(1<<24), packet.NewPool(2000)
	q.SetClasses(true)
	for range 1000 {
		push(t, q, o, 1400, 1, 2)
	}
	for range 100 {
		q.Take(0)
	}
	push(t, q, o, 80, 2, 0)
	for n := range 3 {
		if p, _ := q.Take(0); p.Flow == 2 {
			return
		} else if n == 2 {
			t.Error("three packets of the highest class went before")
		}
	}
}

// TestPassAsksAnotherClass: when no link wants a packet of a class, another one
// is asked, and then the first again.
func TestPassAsksAnotherClass(t *testing.T) {
	q, o := New(1<<24), packet.NewPool(100)
	q.SetClasses(true)
	push(t, q, o, 1400, 1, 2)
	push(t, q, o, 1400, 2, 0)
	first := q.At(0).Flow
	q.Pass()
	second := q.At(0).Flow
	q.Pass()
	if third := q.At(0).Flow; first == second || first != third {
		t.Errorf("flows %d, %d, %d were asked", first, second, third)
	}
	if n := q.Sharers(); n != 1 && n != 17 {
		t.Errorf("%d sharers", n)
	}
}

// TestClassesComeAndGo: whatever is pushed, taken, passed and however often
// classes are turned on and off, every packet comes out once, those of a bucket
// in order.
func TestClassesComeAndGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, o := New(1<<20), packet.NewPool(1000)
		in, out := 0, 0
		last := map[uint8]int32{}
		take := func() {
			p, _ := q.Take(0)
			b, n := p.Header.Bucket, int32(p.Header.BucketSequence)
			if before, ok := last[b]; ok && n != before+1 {
				t.Fatalf("bucket %d: %d after %d", b, n, before)
			}
			last[b] = n
			out++
			p.Release()
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch k := rapid.IntRange(0, 9).Draw(t, "step"); {
			case k == 0:
				q.SetClasses(rapid.Bool().Draw(t, "on"))
			case k == 1 && q.Waiting():
				q.Sharers()
				q.Pass()
			case k > 5 && q.Waiting():
				take()
			default:
				p := packetOf(o, rapid.IntRange(1, 1400).Draw(t, "size"), rapid.Uint32Max(500).Draw(t, "flow"))
				p.Class = uint8(rapid.IntRange(0, Classes-1).Draw(t, "class"))
				if q.Push(1, p, Conditions{}) != Accepted {
					t.Fatal("not accepted")
				}
				in++
			}
		}
		for q.Waiting() {
			take()
		}
		if in != out || q.Total() != 0 || !q.Empty() {
			t.Fatalf("%d of %d came out, %d bytes are left", out, in, q.Total())
		}
	})
}
