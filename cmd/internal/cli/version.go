package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is set by the linker, as the Makefile does it:
// -ldflags "-X github.com/multilink-vpn/multilink/cmd/internal/cli.release=v1.2.3".
var release string

// Version returns the release, else what Go knows of the commit.
func Version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		if revision := settings["vcs.revision"]; len(revision) >= 12 {
			v += "-" + revision[:12]
		}
		if settings["vcs.modified"] == "true" {
			v += "+changes"
		}
	}
	return v
}

// VersionLine says which version of a program this is, and what for.
func VersionLine(program string) string {
	return fmt.Sprintf("%s %s %s %s/%s", program, Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
