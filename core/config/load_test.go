package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/config"
)

// write makes a file in a new folder and returns its path.
func write(t *testing.T, folder, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

const keyFileLine = `private_key_file = "k"`

func TestPrivateKeyModes(t *testing.T) {
	tests := []struct {
		name        string
		inFile      bool
		config, key os.FileMode
		want        string
	}{
		{"in the configuration, private", false, 0o600, 0, ""},
		{"in the configuration, open", false, 0o644, 0, "client.toml: mode 0644 lets others at the private key in it: chmod 600 "},
		{"in the configuration, of a group", false, 0o640, 0, "client.toml: mode 0640 lets others at the private key in it: chmod 600 "},
		{"in a file, private", true, 0o644, 0o600, ""},
		{"in a file, read only", true, 0o644, 0o400, ""},
		{"in a file, open", true, 0o644, 0o644, "k: mode 0644 lets others at the private key in it: chmod 600 "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder, text := t.TempDir(), clientHead
			if tt.inFile {
				write(t, folder, "k", "\n"+testPrivate+"\n", tt.key)
				text = strings.Replace(clientHead, `private_key = "`+testPrivate+`"`, keyFileLine, 1)
			}
			c, warnings, err := config.LoadClient(write(t, folder, "client.toml", text, tt.config))
			if err != nil {
				t.Fatal(err)
			}
			if c.PrivateKey.Public() != mustPublic(t, testPublic) {
				t.Error("another private key")
			}
			switch {
			case tt.want == "" && len(warnings) > 0:
				t.Errorf("got %v", warnings)
			case tt.want != "" && (len(warnings) != 1 || !strings.HasPrefix(warnings[0].String(), filepath.Join(folder, tt.want))):
				t.Errorf("got %v, want %s", warnings, tt.want)
			}
		})
	}
}

func TestKeyFileMistakes(t *testing.T) {
	text := strings.Replace(clientHead, `private_key = "`+testPrivate+`"`, keyFileLine, 1)
	tests := []struct{ name, content, want string }{
		{"missing", "", `client.toml:3:20: private_key_file = "FOLDER/k": cannot be read: no such file or directory`},
		{"other content", "private_key = \"" + testPrivate + "\"", `client.toml:3:20: private_key_file = "FOLDER/k": must hold a private key and nothing else, as 'multilink keygen --out' writes it: 60 characters: a key has 44`},
		{"too long", strings.Repeat(" ", 1<<20+1), `cannot be read: longer than 1048576 bytes`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			if tt.content != "" {
				write(t, folder, "k", tt.content, 0o600)
			}
			_, _, err := config.LoadClient(write(t, folder, "client.toml", text, 0o600))
			checkMistake(t, err, strings.ReplaceAll(tt.want, "FOLDER", folder))
			if err != nil && strings.Contains(err.Error(), testPrivate) {
				t.Error("the private key shows")
			}
		})
	}
}

func TestUnreadableFile(t *testing.T) {
	for name, load := range map[string]func(string) error{
		"client": func(p string) error { _, _, err := config.LoadClient(p); return err },
		"server": func(p string) error { _, _, err := config.LoadServer(p); return err },
	} {
		path := filepath.Join(t.TempDir(), "none.toml")
		err := load(path)
		var list config.Errors
		if want := path + ": cannot be read: no such file or directory"; err == nil || err.Error() != want || !errors.As(err, &list) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
		if err := load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "cannot be read: is a directory") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestLoadServer(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "k", testPrivate, 0o600)
	s, warnings, err := config.LoadServer(write(t, folder, "server.toml", keyFileLine+serverTail, 0o644))
	if err != nil || len(warnings) != 0 || s.PrivateKey != mustPrivate(t, testPrivate) || s.PrivateKeyFile != filepath.Join(folder, "k") {
		t.Errorf("%+v, %v, %v", s, warnings, err)
	}
	// A client with the server's key is found although the key is elsewhere.
	tail := strings.Replace(serverTail, otherPublic, testPublic, 1)
	_, _, err = config.LoadServer(write(t, folder, "server.toml", keyFileLine+tail, 0o600))
	checkMistake(t, err, `server.toml:4:14: clients[0].public_key = "`+testPublic+`": belongs to this server's own private key`)
	tail += "color = 1"
	_, _, err = config.LoadServer(write(t, folder, "server.toml", keyFileLine+tail, 0o600))
	checkMistake(t, err, `unknown key "clients[0].color"`)
}

func TestAllMistakesAreReportedInOrder(t *testing.T) {
	_, _, err := config.ParseClient("c.toml", []byte(`kill_switch = 1
colour = "red"
grace = "x"
[tun]
mtu = 1
`))
	var list config.Errors
	if !errors.As(err, &list) {
		t.Fatalf("got %v", err)
	}
	var one *config.Error
	if !errors.As(err, &one) || one.Key != "kill_switch" || one.Line != 1 || one.Column != 15 || one.Value != "1" {
		t.Errorf("got %+v", one)
	}
	var keys []string
	for _, e := range list {
		keys = append(keys, e.Key)
	}
	want := "kill_switch colour grace tun.mtu private_key server server_key"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := strings.Count(err.Error(), "\n"); n != len(list)-1 {
		t.Errorf("%d lines for %d errors", n+1, len(list))
	}
}

func TestColumnsAreCharacters(t *testing.T) {
	_, _, err := config.ParseClient("c", []byte(clientHead+`"é€" = 1`+"\n"+`interfaces.allow = ["é", "["]`+"\n"))
	checkMistake(t, err, `c:4:1: unknown key "é€"`)
	checkMistake(t, err, `c:5:26: interfaces.allow[1] = "["`)
	_, _, err = config.ParseClient("c", []byte(`"é" == 1`))
	checkMistake(t, err, `c:1:6: `)
}
