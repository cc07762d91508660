package engine

import (
	"encoding/json"
	"net/http"
	"time"
)

// streamPatience is how long a reader of events may take for one.
const streamPatience = 10 * time.Second

// ServeHTTP streams events, one JSON object per line, until the reader goes or
// the end does.
func (e *events) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, cancel, err := e.subscribe()
	if err != nil {
		answer(w, http.StatusServiceUnavailable, commandError{err.Error()})
		return
	}
	defer cancel()
	stream := http.NewResponseController(w)
	// The limits of the socket are for requests that have an end.
	if stream.SetReadDeadline(time.Time{}) != nil || stream.SetWriteDeadline(time.Now().Add(streamPatience)) != nil {
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	w.WriteHeader(http.StatusOK)
	if stream.Flush() != nil {
		return
	}
	lines := json.NewEncoder(w)
	for {
		select {
		case ev := <-s.events:
			_ = stream.SetWriteDeadline(time.Now().Add(streamPatience))
			if lines.Encode(ev) != nil || stream.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
