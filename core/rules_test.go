package core_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/multilink-vpn/multilink/"

// pure are the folders that hold plain state machines.
var pure = []string{
	"core", "core/wire", "core/seal", "core/link", "core/sched", "core/reseq", "core/queue",
	"core/packet", "core/classify", "core/qos", "core/gso", "core/session", "sim/link",
}

// impureImports bring a clock, a lock, a socket or a file within reach.
var impureImports = []string{
	"context", "net", "net/http", "os", "sync", "sync/atomic", "syscall", "golang.org/x/sys/unix",
	"math/rand", "crypto/rand", "log", "log/slog", "os/exec",
}

// pureNames are all that the pure packages may use of packages that also have a clock,
// threads, or draws without a seed (the top-level functions of math/rand/v2).
var pureNames = map[string][]string{
	"time":    {"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"},
	"rand":    {"New", "NewPCG", "NewChaCha8", "Rand", "PCG", "ChaCha8", "Source"},
	"runtime": {"GOARCH"},
}

// TestPureCore enforces that the pure packages have no goroutine, channel,
// lock, socket or clock.
func TestPureCore(t *testing.T) {
	for _, dir := range pure {
		for name, f := range parse(t, dir, false) {
			for _, imp := range imports(f) {
				if slices.Contains(impureImports, imp) {
					t.Errorf("%s imports %q", name, imp)
				}
				if rest, ours := strings.CutPrefix(imp, module); ours && !slices.Contains(pure, rest) {
					t.Errorf("%s imports %q, which is not pure", name, rest)
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%s starts a goroutine", name)
				case *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
					t.Errorf("%s uses a channel", name)
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && pureNames[x.Name] != nil && !slices.Contains(pureNames[x.Name], n.Sel.Name) {
						t.Errorf("%s uses %s.%s", name, x.Name, n.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// timeOfDay are the methods of a time that say what the clock on the wall shows.
// That may be set at any moment, by any amount; differences of times do not
// depend on it.
var timeOfDay = []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "UTC", "Year", "Month", "Day", "Format"}

// mayTellTime are the files that need to know: quotas begin anew on a day of the
// month, leases are given up in the order of their use, events are dated, and the
// kernel dates what a socket received (a step between that and the reading
// counts as no wait).
var mayTellTime = []string{
	"core/engine/usage.go", "core/engine/linkpolicy.go", "core/engine/leases.go", "core/engine/events.go",
	"core/underlay/age.go",
}

// TestTimeOfDay enforces that nothing else in the core depends on it. A
// certificate's validity is made of constants and checked by nobody.
func TestTimeOfDay(t *testing.T) {
	for dir := range folders(t) {
		if !strings.HasPrefix(dir, "core") || strings.Contains(dir, "testdata") {
			continue
		}
		for name, f := range parse(t, dir, false) {
			if slices.Contains(mayTellTime, name) {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok || !slices.Contains(timeOfDay, s.Sel.Name) {
					return true
				}
				if x, ok := s.X.(*ast.Ident); !ok || x.Name != "time" { // time.Date and time.Unix make a time
					t.Errorf("%s uses the time of day: %s", name, s.Sel.Name)
				}
				return true
			})
		}
	}
}

// mayImport says which of the project's folders a folder may import directly, in its
// tests too, where that is restricted. Imports point one way: pure leaves, session,
// engine, command.
var mayImport = map[string]func(string) bool{
	"core/": func(imp string) bool { return strings.HasPrefix(imp, "core") },
	"sim/": func(imp string) bool {
		return strings.HasPrefix(imp, "sim/")
	},
	"sim/virtual/": func(imp string) bool {
		return strings.HasPrefix(imp, "sim/") || slices.Contains(pure, imp)
	},
	"e2e/": func(imp string) bool { return strings.HasPrefix(imp, "sim/") },
}

// TestImportDirection enforces the rules of the rooms: the testbed takes the
// product as a black box, but for the simulator, which runs its pure core;
// only the commands know both.
func TestImportDirection(t *testing.T) {
	for dir := range folders(t) {
		rule := ""
		for prefix := range mayImport {
			if strings.HasPrefix(dir+"/", prefix) && len(prefix) > len(rule) {
				rule = prefix
			}
		}
		if rule == "" {
			continue
		}
		for name, f := range parse(t, dir, true) {
			for _, imp := range imports(f) {
				if rest, ours := strings.CutPrefix(imp, module); ours && !mayImport[rule](rest) {
					t.Errorf("%s imports %s: not allowed below %s", name, rest, rule)
				}
			}
		}
	}
}

func imports(f *ast.File) []string {
	var out []string
	for _, i := range f.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		out = append(out, p)
	}
	return out
}

// parse returns the files of a folder, given from the module's root, with or without
// the tests.
func parse(t *testing.T, dir string, tests bool) map[string]*ast.File {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*ast.File{}
	for _, name := range files {
		if !tests && strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		out[path.Join(dir, filepath.Base(name))] = f
	}
	return out
}

// folders returns every folder of the module that holds Go files.
func folders(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && p != "..":
			return filepath.SkipDir
		case strings.HasSuffix(p, ".go"):
			rel, _ := filepath.Rel("..", filepath.Dir(p))
			out[filepath.ToSlash(rel)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
