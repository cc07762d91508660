package engine

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// httpService serves HTTP on a listener until Close.
type httpService struct {
	server *http.Server
	done   chan struct{}
}

// serveHTTP begins to serve. The log knows the service by its name.
func serveHTTP(name string, listener net.Listener, server *http.Server, log *slog.Logger) *httpService {
	server.ReadTimeout, server.IdleTimeout = 5*time.Second, time.Minute
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	s := &httpService{server: server, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Warn(name+" failed", "error", err)
		}
	}()
	return s
}

// Close ends the service. Close of nil does nothing.
func (s *httpService) Close() {
	if s != nil {
		_ = s.server.Close()
		<-s.done
	}
}
