package cli

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
)

func tree() *cobra.Command {
	root := &cobra.Command{Use: "program", SilenceErrors: true, SilenceUsage: true}
	root.SetFlagErrorFunc(FlagError)
	set := &cobra.Command{Use: "set NAME [ROLE]", Args: Args(1, 2), Run: func(*cobra.Command, []string) {}}
	set.Flags().Int("at", 0, "")
	set.Flags().Uint64("seed", 0, "")
	set.Flags().Duration("time", 0, "")
	set.Flags().Bool("keep", false, "")
	set.Flags().StringToInt("map", nil, "")
	root.AddCommand(set)
	return root
}

func TestUsage(t *testing.T) {
	const line = "program set NAME [ROLE] [flags]"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"set", "a"}, ""},
		{[]string{"set", "a", "b"}, ""},
		{[]string{"set"}, "an argument is missing: " + line},
		{[]string{"set", "a", "b", "c"}, `argument "c" is one too many: ` + line},
		{[]string{"set", "a", "--at", "x"}, `--at = "x": must be a whole number`},
		{[]string{"set", "a", "--at", "99999999999999999999"}, `--at = "99999999999999999999": is too large`},
		{[]string{"set", "a", "--seed", "-1"}, `--seed = "-1": must be a whole number from 0 on`},
		{[]string{"set", "a", "--time", "5"}, `--time = "5": must be a time, such as 500ms or 2s`},
		{[]string{"set", "a", "--keep=perhaps"}, `--keep = "perhaps": must be true or false, or left out for true`},
		{[]string{"set", "a", "--map", "x"}, `--map = "x": x must be formatted as key=value`},
		{[]string{"set", "a", "--nothing"}, "unknown flag: --nothing"},
	} {
		root := tree()
		root.SetArgs(c.args)
		got := ""
		if err := root.Execute(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.args, got, c.want)
		}
	}
}

func TestUnknownCommand(t *testing.T) {
	for name, want := range map[string]string{
		"sett":    `unknown command "sett" for "program": did you mean set?`,
		"nothing": `unknown command "nothing" for "program"`,
	} {
		if got := UnknownCommand(tree(), name).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	if got := Version(); got == "" {
		t.Error("no version without a release")
	}
	t.Cleanup(func() { release = "" })
	release = "v1.2.3"
	if got := VersionLine("program"); !strings.HasPrefix(got, "program v1.2.3 go") {
		t.Errorf("got %q", got)
	}
}

func TestInsisted(t *testing.T) {
	for _, c := range []struct {
		name  string
		after []time.Duration // of the signals
		want  bool
	}{
		{"none", nil, false},
		{"the same to the process and to its group", []time.Duration{0, time.Millisecond}, false},
		{"the last moment of an echo", []time.Duration{echo - 1}, false},
		{"a second one", []time.Duration{echo}, true},
		{"an echo and a second one", []time.Duration{time.Millisecond, time.Second}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			came := make(chan os.Signal)
			go func() {
				defer close(came)
				begun := time.Now()
				for _, after := range c.after {
					time.Sleep(after - time.Since(begun))
					came <- os.Interrupt
				}
			}()
			if got := Insisted(came); got != c.want {
				t.Errorf("%s: %v", c.name, got)
			}
		})
	}
}
