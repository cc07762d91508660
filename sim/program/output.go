package program

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// outputPatience bounds programs that end by themselves.
const outputPatience = 10 * time.Second

// Output runs a program that ends by itself and returns what it prints. A nil
// environment is this process's.
func Output(ctx context.Context, environment []string, binary string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, outputPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = environment
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", binary, args[0], err, bytes.TrimSpace(complaint.Bytes()))
	}
	return out, nil
}

// Keygen makes the keys of one end of the product. The private one is written to
// a file, the public one returned.
func Keygen(ctx context.Context, environment []string, binary, file string) (public string, err error) {
	text, err := Output(ctx, environment, binary, "keygen")
	if err != nil {
		return "", err
	}
	var keys struct {
		Private string `toml:"private_key"`
		Public  string `toml:"public_key"`
	}
	if err := toml.Unmarshal(text, &keys); err != nil || keys.Private == "" || keys.Public == "" {
		return "", fmt.Errorf("%s keygen printed no private_key and public_key: %q", binary, text)
	}
	return keys.Public, os.WriteFile(file, []byte(keys.Private+"\n"), 0o600)
}
