package lab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What is only forbidden is not to be had by loading a module.
func TestRemedies(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{unix.ENOENT, "-> modprobe it"},
		{fmt.Errorf("open: %w", unix.EOPNOTSUPP), "-> modprobe it"},
		{fmt.Errorf("open: %w", unix.EPERM), "-> " + asRoot},
		{unix.EACCES, "-> " + asRoot},
	} {
		var out strings.Builder
		err := diagnose(&out, []check{{name: "it", remedy: "modprobe it", try: func(*examination) (string, error) { return "", c.err }}})
		if !errors.Is(err, ErrMachine) || !strings.Contains(out.String(), "MISSING  it: "+c.err.Error()) {
			t.Errorf("%v: %v\n%s", c.err, err, &out)
		}
		if _, remedy, _ := strings.Cut(out.String(), "\n"); strings.TrimSpace(remedy) != c.want {
			t.Errorf("%v: %q, want %q", c.err, remedy, c.want)
		}
	}
}

// What was not tried is not missing.
func TestUntried(t *testing.T) {
	var out strings.Builder
	err := diagnose(&out, []check{{name: "it", remedy: "modprobe it", try: func(*examination) (string, error) { return "", errUntried }}})
	if want := "untried  it: something above is missing\n"; err != nil || out.String() != want {
		t.Errorf("%v, %q, want %q", err, out.String(), want)
	}
}

// Who cannot make namespaces is told of that and of root, and nothing else is
// tried in vain.
func TestNothingIsTriedWithoutNamespaces(t *testing.T) {
	alone := []string{"kernel", "processors", "root", "network namespaces", "congestion controls"}
	for _, c := range checks {
		if slices.Contains(alone, c.name) {
			continue
		}
		if _, err := c.try(&examination{}); !errors.Is(err, errUntried) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
