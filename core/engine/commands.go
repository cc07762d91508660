package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// maxRequest bounds what a command may be given, in bytes.
const maxRequest = 1 << 20

// commands are what the status socket lets a user do to a running client or
// server, by name. A request is POST /NAME with a JSON object, the arguments;
// its answer is 200 with the result as JSON, or, when the command is refused,
// 400 with {"error": "why"}; 404, in the same form, says that there is no such
// command.
type commands map[string]command

// command runs with JSON arguments and returns what becomes the JSON answer.
type command func(arguments []byte) (any, error)

// commandError is the answer to a request that failed.
type commandError struct {
	Error string `json:"error"`
}

// commandOf makes a command of a function. Arguments that A does not know are
// an error; no arguments at all are A's zero value.
func commandOf[A, R any](run func(A) (R, error)) command {
	return func(arguments []byte) (any, error) {
		var a A
		if len(bytes.TrimSpace(arguments)) > 0 {
			d := json.NewDecoder(bytes.NewReader(arguments))
			d.DisallowUnknownFields()
			if err := d.Decode(&a); err != nil {
				return nil, fmt.Errorf("arguments: %w", err)
			}
		}
		return run(a)
	}
}

// ServeHTTP answers a request for one of the commands.
func (c commands) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("command")
	run := c[name]
	if run == nil {
		answer(w, http.StatusNotFound, commandError{fmt.Sprintf("unknown command %q: %s", name, c.list())})
		return
	}
	arguments, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if tooMuch := (*http.MaxBytesError)(nil); errors.As(err, &tooMuch) {
		err = fmt.Errorf("more than %d bytes of arguments", maxRequest)
	}
	var result any
	if err == nil {
		result, err = run(arguments)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, commandError{err.Error()})
		return
	}
	answer(w, http.StatusOK, result)
}

// list says which commands there are.
func (c commands) list() string {
	if len(c) == 0 {
		return "this end has none"
	}
	var names []string
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	return "there are " + strings.Join(names, ", ")
}

// answer writes one JSON answer. A reader that has gone away is no error.
func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

// commands lists what can be done to the running client.
func (c *Client) commands() commands {
	return commands{
		"flows":     commandOf(c.Flows),
		"link-list": commandOf(c.listLinks),
		"link-set":  commandOf(c.setLink),
		"qos":       commandOf(c.changeQoS),
	}
}

// commands lists what can be done to the running server.
func (s *Server) commands() commands {
	return commands{
		"flows": commandOf(s.Flows),
	}
}
