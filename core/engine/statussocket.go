package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// statusSocket serves a Status and the commands of a client or server as JSON
// over HTTP on a Unix socket: GET / answers with the Status, GET /events with events
// as they happen, GET /profile with a profile of the processor time, POST /NAME
// runs the command of that name (see commands).
type statusSocket struct {
	*httpService
	path string
}

// openStatusSocket makes the socket, readable by its owner only. A socket that
// a dead process left is replaced, one that answers is an error.
func openStatusSocket(path string, status func() Status, commands commands, events *events, log *slog.Logger) (*statusSocket, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("status socket: %w", err)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("status socket %s is in use: another multilink with the same tunnel name is running (multilink status --socket %s shows it)", path, path)
	}
	listener, err := listenPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("status socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, status())
	})
	mux.Handle("GET /events", events)
	mux.HandleFunc("GET /profile", serveProfile)
	mux.Handle("POST /{command}", commands)
	server := &http.Server{Handler: mux, WriteTimeout: 5 * time.Second, MaxHeaderBytes: 4 << 10}
	return &statusSocket{serveHTTP("status socket", listener, server, log), path}, nil
}

// OverStatusSocket carries HTTP requests, whatever host they name, to the status
// socket at path, each over a connection of its own.
func OverStatusSocket(path string) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}
}

// listenPrivate makes a Unix socket that is never open to others: it appears
// under its name when its mode is set.
func listenPrivate(path string) (net.Listener, error) {
	hidden := fmt.Sprintf("%s.%d", path, os.Getpid())
	_ = os.Remove(hidden)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // it would unlink the hidden name
	err = os.Chmod(hidden, 0o600)
	if err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		listener.Close()
		_ = os.Remove(hidden)
		return nil, err
	}
	return listener, nil
}

// Close ends the service and removes the socket.
func (s *statusSocket) Close() {
	s.httpService.Close()
	_ = os.Remove(s.path)
}
