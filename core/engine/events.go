package engine

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/multilink-vpn/multilink/core/session"
)

// Bounds of the event stream.
const (
	maxSubscribers = 16
	subscriberRoom = 256 // events that wait for a slow reader; others are dropped
)

// eventNames are the log messages that are events, with what they mean. A line
// of the log and an event are one thing; the log leaves out what is below its
// level, the stream of events does not. Names on the stream have dashes.
var eventNames = map[string]string{
	"link found":         "client: an interface can carry a link",
	"link gone":          "client: it no longer can, or is off",
	"link connecting":    "client: the link's control connection is being made",
	"link up":            "the control connection stands",
	"link down":          "it does not, or could not be made",
	"link ready":         "datagrams come through for the first time",
	"link suspect":       "nothing is heard for longer than should be: new data goes elsewhere too",
	"link recovered":     "it is heard again, and was never given up",
	"link silent":        "nothing is heard for so long that the link is given up",
	"link returned":      "a link that was given up is used again",
	"transport changed":  "the link's datagrams take UDP or, where that is blocked, its control connection",
	"path mtu changed":   "the largest outer packet that the link's path carries was found to be another; 0: all are carried",
	"address changed":    "client: the link's address or interface is another one",
	"role changed":       "client: the link is used for something else now",
	"quota reached":      "client: the link has carried all it may until the reset day",
	"backup called":      "the backup carries data: no active link does well enough",
	"backup released":    "the active links do well again",
	"session opened":     "a session begins",
	"session resumed":    "client: there is a link again after there was none",
	"session lost":       "client: there is no link any more; the session waits for one",
	"session ended":      "the session is over",
	"server unreachable": "client: no link reaches the server",
	"strategy changed":   "scheduler, resequencer or the like",
	"client turned away": "server: a client may not join",
	"state":              "the state in the status has changed",
}

// EventNames lists the names of events as they are on the stream, with what
// they mean.
func EventNames() map[string]string {
	names := make(map[string]string, len(eventNames))
	for message, meaning := range eventNames {
		names[eventName(message)] = meaning
	}
	return names
}

func eventName(message string) string { return strings.ReplaceAll(message, " ", "-") }

// Event is one thing that happened: its "event" and "time", and what the log
// line says of it by name: "link", "client", "reason" and others. "dropped" is
// how many events were left out before it, because the reader was too slow.
type Event map[string]any

// errTooMany is why nobody else can read events.
var errTooMany = fmt.Errorf("there are %d readers of events already, the most there can be", maxSubscribers)

// events hands the events in the log to whoever subscribes.
type events struct {
	mu          sync.Mutex
	subscribers []*subscriber
}

// subscriber is one reader.
type subscriber struct {
	events  chan Event
	dropped uint64 // since the last event; guarded by the lock of events
}

// subscribe adds a reader until cancel is called.
func (e *events) subscribe() (s *subscriber, cancel func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.subscribers) >= maxSubscribers {
		return nil, nil, errTooMany
	}
	s = &subscriber{events: make(chan Event, subscriberRoom)}
	e.subscribers = append(e.subscribers, s)
	return s, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.subscribers = slices.DeleteFunc(e.subscribers, func(other *subscriber) bool { return other == s })
	}, nil
}

func (e *events) watched() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.subscribers) > 0
}

// publish gives an event to every reader that has room for it.
func (e *events) publish(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.subscribers {
		one := ev
		if s.dropped > 0 {
			one = maps.Clone(ev)
			one["dropped"] = s.dropped
		}
		select {
		case s.events <- one:
			s.dropped = 0
		default:
			s.dropped++
		}
	}
}

// tap returns a logger that makes events of what it logs.
func (e *events) tap(log *slog.Logger) *slog.Logger {
	return slog.New(&eventHandler{events: e, next: log.Handler()})
}

// eventHandler is a slog.Handler before another one.
type eventHandler struct {
	events *events
	next   slog.Handler
	attrs  []slog.Attr
}

// Enabled is true for all levels while somebody reads events.
func (h *eventHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level) || h.events.watched()
}

// Handle logs a record and publishes it if it is an event.
func (h *eventHandler) Handle(ctx context.Context, r slog.Record) error {
	if _, ok := eventNames[r.Message]; ok && h.events.watched() {
		ev := Event{"event": eventName(r.Message), "time": r.Time.Format(time.RFC3339Nano)}
		add := func(a slog.Attr) bool {
			if v := plain(a.Value); v != "" {
				ev[a.Key] = v
			}
			return true
		}
		for _, a := range h.attrs {
			add(a)
		}
		r.Attrs(add)
		h.events.publish(ev)
	}
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs returns the handler of a logger whose lines all have the attributes.
func (h *eventHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &eventHandler{h.events, h.next.WithAttrs(attrs), slices.Concat(h.attrs, attrs)}
}

// WithGroup groups in the log; in events, nothing is grouped.
func (h *eventHandler) WithGroup(name string) slog.Handler {
	return &eventHandler{h.events, h.next.WithGroup(name), h.attrs}
}

// plain makes a value fit for JSON.
func plain(v slog.Value) any {
	v = v.Resolve()
	if err, ok := v.Any().(error); ok {
		return err.Error()
	}
	switch v.Kind() {
	case slog.KindDuration, slog.KindTime:
		return v.String()
	}
	return v.Any()
}

// logChanges says what has become of a session's links.
func logChanges(log *slog.Logger, changes []session.Change) {
	for _, c := range changes {
		link := c.Name
		switch {
		case c.Kind == session.BackupCalled:
			log.Debug("backup called", "link", link)
		case c.Kind == session.BackupReleased:
			log.Debug("backup released", "link", link)
		case c.Kind == session.TransportChanged:
			log.Info("transport changed", "link", link, "was", c.Was, "is", c.Is)
		case c.Kind == session.PathMTUChanged:
			log.Debug("path mtu changed", "link", link, "pmtu", c.PMTU)
		case c.Is == "suspect":
			log.Debug("link suspect", "link", link)
		case c.Is == linkDown:
			log.Info("link silent", "link", link)
		case c.Was == linkDown:
			log.Info("link returned", "link", link)
		case c.Was == "suspect":
			log.Debug("link recovered", "link", link)
		default:
			log.Debug("link ready", "link", link)
		}
	}
}
