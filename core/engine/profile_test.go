package engine

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestProfile(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(serveProfile))
	defer server.Close()
	get := func(query string) (int, []byte) {
		t.Helper()
		response, err := server.Client().Get(server.URL + "/profile" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, body
	}
	code, body := get("?time=10ms")
	unzipped, err := gzip.NewReader(bytes.NewReader(body))
	if code != http.StatusOK || err != nil {
		t.Fatalf("%d, %v: %q", code, err, body)
	}
	text, err := io.ReadAll(unzipped)
	if err != nil || !bytes.Contains(text, []byte("nanoseconds")) {
		t.Errorf("%v: %q", err, text)
	}
	for _, query := range []string{"?time=x", "?time=-1s", "?time=1h"} {
		if code, body := get(query); code != http.StatusBadRequest || !strings.Contains(string(body), "want a duration") {
			t.Errorf("%s: %d, %s", query, code, body)
		}
	}
}
