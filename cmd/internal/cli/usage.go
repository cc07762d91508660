// Package cli is what the two programs' command lines have in common: what is
// said about wrong usage, which signals count, and the version.
package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// UnknownCommand says that cmd has no command of this name, and what may have
// been meant.
func UnknownCommand(cmd *cobra.Command, name string) error {
	text := fmt.Sprintf("unknown command %q for %q", name, cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2 // letters that may be wrong, cobra's default
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		text += fmt.Sprintf(": did you mean %s?", strings.Join(near, " or "))
	}
	return errors.New(text)
}

// Args refuses less than least and more than most arguments, most < 0 for any
// number. The error shows the command's own usage line, which names them.
func Args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("an argument is missing: %s", cmd.UseLine())
		case most >= 0 && len(args) > most:
			return fmt.Errorf("argument %q is one too many: %s", args[most], cmd.UseLine())
		}
		return nil
	}
}

// FlagError says what is wrong with the value of a flag in a user's words;
// it is for cobra's SetFlagErrorFunc.
func FlagError(_ *cobra.Command, err error) error {
	wrong, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	flag, want := wrong.GetFlag(), ""
	switch kind := flag.Value.Type(); kind {
	case "int":
		want = "must be a whole number"
	case "uint64":
		want = "must be a whole number from 0 on"
	case "duration":
		want = "must be a time, such as 500ms or 2s"
	case "bool":
		want = "must be true or false, or left out for true"
	default:
		want = wrong.Unwrap().Error()
	}
	if errors.Is(err, strconv.ErrRange) {
		want = "is too large"
	}
	return fmt.Errorf("--%s = %q: %s", flag.Name, wrong.GetValue(), want)
}
