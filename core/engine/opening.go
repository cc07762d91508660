package engine

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/multilink-vpn/multilink/core/netmon"
)

// openStagger is how much later the next interface is tried than the one before
// it, which may be about to succeed.
const openStagger = 200 * time.Millisecond

// opening looks for an interface on which the server opens a session: on
// several at once, since any of them may lead nowhere.
type opening struct {
	client  *Client
	turn    chan struct{} // holds one: says hello, or was welcomed
	results chan opened
	running sync.WaitGroup
	pending int
	tried   map[string]attempt // by interface
}

type opened struct {
	link *clientLink
	conn *connection
	err  error
}

// attempt is the last one over an interface.
type attempt struct {
	ifc    netmon.Interface
	cancel context.CancelFunc
}

// open tries all interfaces, beginning with the one of that name, until the
// server opens a session over one; nil when ctx ends.
func (c *Client) open(ctx context.Context, first string) (*clientLink, *connection) {
	for round := 0; ctx.Err() == nil; round++ {
		began := time.Now()
		won, worst := c.race(ctx, first)
		if won.conn != nil {
			return won.link, won.conn
		}
		if pause(ctx, backoff(round, worst), time.Since(began), c.wake) {
			round = -1
		}
	}
	return nil, nil
}

// race tries every interface once, and those that come or change meanwhile. It
// returns the one that was welcomed, or why there is none.
func (c *Client) race(ctx context.Context, first string) (won opened, worst error) {
	ctx, cancel := context.WithCancel(ctx)
	o := &opening{
		client: c, turn: make(chan struct{}, 1), results: make(chan opened), tried: make(map[string]attempt),
	}
	defer o.running.Wait()
	defer cancel()
	o.start(ctx, first, openStagger)
	for o.pending > 0 {
		select {
		case r := <-o.results:
			o.pending--
			if r.conn != nil {
				return r, nil
			}
			if !errors.Is(r.err, context.Canceled) {
				r.link.failed(r.err)
				worst = r.err
			}
		case <-c.wake:
			o.start(ctx, first, 0)
		case <-ctx.Done():
			return opened{}, worst
		}
	}
	return opened{}, worst
}

// start tries the interfaces that are new or have changed.
func (o *opening) start(ctx context.Context, first string, stagger time.Duration) {
	after := time.Duration(0)
	for _, ifc := range o.client.candidates(first) {
		last, known := o.tried[ifc.Name]
		if known && reflect.DeepEqual(last.ifc, ifc) {
			continue
		}
		link := o.client.link(ifc)
		if link == nil {
			continue
		}
		if known {
			last.cancel() // it goes over an address that is no more
		}
		one, cancel := context.WithCancel(ctx)
		o.tried[ifc.Name] = attempt{ifc, cancel}
		o.pending++
		wait := after
		o.running.Go(func() { o.try(one, ctx, link, wait) })
		after += stagger
	}
}

// try connects over one link. Who is not waited for any more leaves nothing.
func (o *opening) try(ctx, race context.Context, link *clientLink, after time.Duration) {
	r := opened{link: link, err: context.Canceled}
	if sleep(ctx, after, nil) {
		link.set(controlConnecting, nil)
		r.conn, r.err = link.connect(ctx, wanted{turn: o.turn})
	}
	select {
	case o.results <- r:
	case <-race.Done():
		if r.conn != nil {
			r.conn.close()
		}
	}
}
