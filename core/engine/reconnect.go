package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/multilink-vpn/multilink/core/control"
)

// How a link tries again. Pauses count from the beginning of the attempt before
// them, so that an attempt that got no answer is followed by another at once.
const (
	firstRetry   = 200 * time.Millisecond
	refusedRetry = 500 * time.Millisecond // the host is there, the server is not (yet)
	lastRetry    = 5 * time.Second
	hopeless     = 10 * time.Second // only a person can mend it
	steadyAfter  = 10 * time.Second // a link that held this long starts over
	replaceAfter = time.Second      // a connection that was lost sooner is not replaced at once
)

// How a control connection is watched.
const (
	lookEvery    = 500 * time.Millisecond
	overdueAfter = time.Second     // datagrams without answer: ask
	pongPatience = 2 * time.Second // for the answer, while datagrams have none either
)

// pulse decides when to ask the server over a control connection whether it is
// there, and when to stop believing that it is. TCP alone takes ten seconds and
// more to say so, or hears nothing at all as long as it sends nothing.
type pulse struct {
	patience time.Duration
	id       uint64    // of the last ping
	last     time.Time // when it was sent
	asked    time.Time // the first ping without an answer; zero: none
}

// newPulse watches a connection that took so long to make.
func newPulse(took time.Duration) *pulse {
	return &pulse{patience: max(pongPatience, took), last: time.Now()}
}

// next says what to do, given when a message last came and for how long a
// datagram's answer has been overdue.
func (p *pulse) next(now, heard time.Time, overdue time.Duration) (ping, dead bool) {
	if heard.After(p.asked) {
		p.asked = time.Time{}
	}
	silent := overdue >= overdueAfter
	if dead = silent && !p.asked.IsZero() && now.Sub(p.asked) >= p.patience; dead {
		p.asked = now // the next attempt after as long again
	}
	if since := now.Sub(p.last); since >= pingEvery || silent && since >= overdueAfter {
		p.id++
		p.last, ping = now, true
		if p.asked.IsZero() {
			p.asked = now
		}
	}
	return ping, dead
}

// pause waits for d, of which some has passed already, but for a moment in any
// case. It says whether it was cut short because things have changed.
func pause(ctx context.Context, d, passed time.Duration, poked <-chan struct{}) bool {
	timer := time.NewTimer(max(d-passed, firstRetry/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-poked:
		return true
	case <-ctx.Done():
		return false
	}
}

// backoff is the pause after a number of failures in a row, with some chance
// in it so that links and clients do not all come at once.
func backoff(tries int, err error) time.Duration {
	d := lastRetry
	if tries < 6 {
		d = min(lastRetry, firstRetry<<tries)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		d = min(d, refusedRetry)
	case isPermanent(err):
		d = hopeless
	}
	return d*3/4 + time.Duration(rand.Int64N(int64(d/2)))
}

// isPermanent says that only a person can mend it.
func isPermanent(err error) bool {
	var wrong *control.WrongServerError
	return errors.As(err, &wrong) || hasCode(err, control.CodeUnknownKey) ||
		hasCode(err, control.CodeVersion) || hasCode(err, control.CodeSuite) || hasCode(err, control.CodeBadRequest)
}

// hasCode says whether the server rejected a link for that reason.
func hasCode(err error, code control.Code) bool {
	var rejected *control.RejectError
	return errors.As(err, &rejected) && rejected.Code == code
}
