package control

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
)

func TestGateBoundsComputingOnly(t *testing.T) {
	places := make(gate, 1)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	first, second := &guard{Conn: a, left: 10, gate: places}, &guard{Conn: b, left: 10, gate: places}
	if err := first.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := second.enter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.ReadFull(first, make([]byte, 1)) // waits for its peer: leaves
	}()
	if err := second.enter(t.Context()); err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := second.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	<-done
	if len(places) != 0 {
		t.Error("a place is still taken")
	}
}
