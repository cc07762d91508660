package engine

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/qos"
)

func TestCommands(t *testing.T) {
	type sum struct {
		A, B int
	}
	mux := http.NewServeMux()
	mux.Handle("POST /{command}", commands{
		"add": commandOf(func(s sum) (int, error) { return s.A + s.B, nil }),
		"no":  commandOf(func(struct{}) (int, error) { return 0, errors.New("not today") }),
	})
	for _, c := range []struct {
		name, body string
		code       int
		want       string
	}{
		{"add", `{"a":1,"b":2}`, 200, "3"},
		{"add", ``, 200, "0"},
		{"add", `{"c":1}`, 400, `{"error":"arguments: json: unknown field \"c\""}`},
		{"add", `{"a":"x"}`, 400, "cannot unmarshal string"},
		{"add", strings.Repeat(" ", maxRequest), 200, "0"},
		{"add", strings.Repeat(" ", maxRequest+1), 400, "more than 1048576 bytes"},
		{"no", `{}`, 400, `{"error":"not today"}`},
		{"mul", `{}`, 404, `unknown command \"mul\": there are add, no`},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/"+c.name, bytes.NewBufferString(c.body)))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s with %d bytes: %d %s, want %d with %s", c.name, len(c.body), w.Code, w.Body, c.code, c.want)
		}
	}
}

// FuzzCommandArguments: what a command does not understand is an error that its
// user gets, and runs nothing.
func FuzzCommandArguments(f *testing.F) {
	for _, in := range []string{"", "{}", "[]", "{", `{"add":{"port":"443","priority":1}}`, `{"remove":-1}`, `{"remov":1}`, `{"at":1e99}`} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		ran := false
		got, err := commandOf(func(c QoSChange) (any, error) {
			ran = true
			if c.Add != nil {
				_, _ = qos.Parse(*c.Add)
			}
			return true, nil
		})(in)
		if ran != (err == nil) || ran != (got != nil) {
			t.Fatalf("%q: ran %v, %v, %v", in, ran, got, err)
		}
	})
}
