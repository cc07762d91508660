package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/engine"
)

// socketVariable names the environment variable that holds the status socket to
// ask, where --socket says nothing. The testbed's shell sets it.
const socketVariable = "MULTILINK_SOCKET"

const (
	statusTimeout = 5 * time.Second
	maxStatus     = 64 << 20 // bytes: thousands of clients
)

// addSocket gives a command the flag that names the status socket.
func addSocket(cmd *cobra.Command, socket *string) {
	cmd.Flags().StringVar(socket, "socket", "", "status socket (default: $"+socketVariable+", else the only one in "+config.RunDir+")")
}

// findSocket returns the socket to ask: the given one, else that of the
// environment, else the only one in dir that somebody listens on.
func findSocket(given, dir string) (string, error) {
	if given = cmp.Or(given, os.Getenv(socketVariable)); given != "" {
		return given, nil
	}
	all, err := filepath.Glob(filepath.Join(dir, "*.sock"))
	if err != nil {
		return "", err
	}
	var live, killed []string
	for _, path := range all {
		conn, err := net.DialTimeout("unix", path, statusTimeout)
		if errors.Is(err, syscall.ECONNREFUSED) {
			killed = append(killed, path)
			continue
		}
		if err == nil {
			conn.Close()
		}
		live = append(live, path)
	}
	switch len(live) {
	case 0:
		if len(killed) > 0 {
			return "", explainSocket(killed[0], syscall.ECONNREFUSED)
		}
		return "", fmt.Errorf("no multilink client or server is running (no live socket in %s): start one, or name its socket with --socket", dir)
	case 1:
		return live[0], nil
	}
	return "", fmt.Errorf("several are running, choose one with --socket: %s", strings.Join(live, ", "))
}

// askStatus reads the status behind a socket into result.
func askStatus(ctx context.Context, path string, result any) error {
	return exchange(ctx, path, http.MethodGet, "", nil, result)
}

// ask runs a command of the client or server behind a socket and reads its
// answer into result. What it refuses comes back as an error in its words.
func ask(ctx context.Context, path, command string, arguments, result any) error {
	body, err := json.Marshal(arguments)
	if err != nil {
		return err
	}
	return exchange(ctx, path, http.MethodPost, command, body, result)
}

// exchange is one request over a status socket and its answer.
func exchange(ctx context.Context, path, method, command string, body []byte, result any) error {
	response, err := request(ctx, path, method, command, body, statusTimeout)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxStatus)).Decode(result); err != nil {
		return fmt.Errorf("status socket %s: %w", path, err)
	}
	return nil
}

// request makes a request over a status socket, which with its answer may take
// as long as the timeout, or 0, for ever. The caller closes the answer's body.
func request(ctx context.Context, path, method, name string, body []byte, timeout time.Duration) (*http.Response, error) {
	client := http.Client{Timeout: timeout, Transport: engine.OverStatusSocket(path)}
	r, err := http.NewRequestWithContext(ctx, method, "http://multilink/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, explainSocket(path, err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		return nil, refusal(path, response)
	}
	return response, nil
}

// refusal is the error in the answer to a request that was refused.
func refusal(path string, response *http.Response) error {
	var refused struct{ Error string }
	d := json.NewDecoder(io.LimitReader(response.Body, maxStatus))
	if d.Decode(&refused) != nil || refused.Error == "" {
		return fmt.Errorf("status socket %s: %s", path, response.Status)
	}
	if response.StatusCode == http.StatusNotFound {
		return fmt.Errorf("status socket %s: this is for a client, and there is a server, or another version (%s)", path, refused.Error)
	}
	return errors.New(refused.Error)
}

// explainSocket says in a user's words why a socket does not answer.
func explainSocket(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("status socket %s has %d bytes: the path of a socket can have 107", path, len(path))
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("status socket %s: permission denied: run it with sudo", path)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("status socket %s does not exist: nothing is running under it", path)
	case errors.Is(err, syscall.ECONNREFUSED) && !isSocket(path):
		return fmt.Errorf("status socket %s is not a socket", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("status socket %s does not answer: its process was killed ('multilink cleanup' removes what it left)", path)
	}
	return fmt.Errorf("status socket %s: %w", path, err)
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeSocket != 0
}
