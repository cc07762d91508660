package virtual

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
)

func TestUnsupported(t *testing.T) {
	const head = "name: x\nduration: 2s\nlinks: [{name: a, both: {rate: 1mbit}}]\n"
	for text, want := range map[string]string{
		"traffic: [{name: c, kind: tcp, via: mptcp, duration: 1s}]":                           "traffic c: mptcp is not in virtual time",
		"traffic: [{name: c, kind: tcp, cc: bbr, duration: 1s}]":                              "the congestion control bbr is not in virtual time",
		"timeline: [{at: 1s, do: kill-server}]":                                               "kill-server is not in virtual time",
		"client: {links: [{name: a, role: backup}]}":                                          "the use of links (role, cap, quota) is not in virtual time",
		"timeline: [{at: 1s, do: reload-client, client: {links: [{name: a, role: backup}]}}]": "the use of links",
	} {
		sc := parse(t, head+text)
		for name, run := range map[string]func() error{
			"Run":  func() error { _, err := Run(context.Background(), sc, Options{}); return err },
			"Exec": func() error { _, err := Exec(context.Background(), sc, Options{}); return err },
		} {
			err := run()
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: %v", name, text, err)
			}
		}
	}
}

func TestOneProcessorOnly(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	if _, err := New(Config{}); !errors.Is(err, ErrProcessors) {
		t.Errorf("on two processors: %v", err)
	}
}

func TestContextEndsARun(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	sc := parse(t, everything)
	_, err := Run(ctx, sc, Options{Progress: func(Progress) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestWrongStrategy(t *testing.T) {
	for set, want := range map[string]string{
		"client.scheduler=fastest":   "fastest",
		"client.rate_control=maybe":  "rate_control = maybe: must be true or false",
		"client.reorder.down=random": "random",
	} {
		sc := parse(t, "name: x\nduration: 2s\nlinks: [{name: a, both: {rate: 1mbit}}]", set)
		if _, err := Run(context.Background(), sc, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", set, err)
		}
	}
}
