package engine

import (
	"fmt"
	"net/http"
	"runtime/pprof"
	"time"
)

// The duration of a profile: what is taken without a word, and at most.
const (
	profileTime    = 10 * time.Second
	longestProfile = 5 * time.Minute
)

// serveProfile answers with a profile of the process's processor time, in the
// format of runtime/pprof, taken over the duration "time" of the query. Only
// one is taken at a time. A reader that goes away ends it.
func serveProfile(w http.ResponseWriter, r *http.Request) {
	d := profileTime
	if text := r.URL.Query().Get("time"); text != "" {
		var err error
		if d, err = time.ParseDuration(text); err != nil || d <= 0 || d > longestProfile {
			answer(w, http.StatusBadRequest, commandError{fmt.Sprintf("time %q: want a duration up to %v, such as 10s", text, longestProfile)})
			return
		}
	}
	stream := http.NewResponseController(w)
	limit := time.Now().Add(d + streamPatience)
	if stream.SetReadDeadline(limit) != nil || stream.SetWriteDeadline(limit) != nil {
		return
	}
	if err := pprof.StartCPUProfile(w); err != nil {
		answer(w, http.StatusServiceUnavailable, commandError{err.Error()})
		return
	}
	defer pprof.StopCPUProfile()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}
