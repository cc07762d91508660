package nlretry

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestDump(t *testing.T) {
	other := errors.New("other")
	tests := []struct {
		name  string
		fails []error // answers before the good one
		want  error
		calls int
	}{
		{"at once", nil, nil, 1},
		{"interrupted twice", []error{netlink.ErrDumpInterrupted, unix.EINTR}, nil, 3},
		{"another error is returned at once", []error{other}, other, 1},
		{"never consistent", repeat(netlink.ErrDumpInterrupted, 20), netlink.ErrDumpInterrupted, attempts},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			calls := 0
			got, err := Dump(func() (int, error) {
				calls++
				if calls <= len(test.fails) {
					return 0, test.fails[calls-1]
				}
				return 7, nil
			})
			if !errors.Is(err, test.want) || calls != test.calls {
				t.Fatalf("err %v after %d calls, want %v after %d", err, calls, test.want, test.calls)
			}
			if err == nil && got != 7 {
				t.Fatalf("got %d, want 7", got)
			}
		})
	}
}

func repeat(err error, n int) []error {
	list := make([]error, n)
	for i := range list {
		list[i] = err
	}
	return list
}
