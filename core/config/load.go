package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/multilink-vpn/multilink/core/control"
)

// maxFile bounds what is read of a file: 1 MiB holds thousands of clients.
const maxFile = 1 << 20

// ParseClient reads a client's configuration. name is what errors call it. It
// opens no other file, so that of a private_key_file only the name is known.
func ParseClient(name string, data []byte) (*Client, []Warning, error) {
	c, d, err := parseWith(name, data, false, decodeClient)
	if err != nil {
		return nil, nil, err
	}
	checkClientPair(d, c.ServerKey, c.PrivateKey)
	return finish(c, d)
}

// ParseServer is ParseClient for a server.
func ParseServer(name string, data []byte) (*Server, []Warning, error) {
	s, d, err := parseWith(name, data, false, decodeServer)
	if err != nil {
		return nil, nil, err
	}
	checkServerPair(d, s.Clients, s.PrivateKey)
	return finish(s, d)
}

// LoadClient reads a client's configuration and the key file that it names.
func LoadClient(path string) (*Client, []Warning, error) {
	f, err := read(path)
	if err != nil {
		return nil, nil, err
	}
	c, d, err := parseWith(path, f.data, false, decodeClient)
	if err != nil {
		return nil, nil, err
	}
	d.loadKey(f, &c.PrivateKey, &c.PrivateKeyFile)
	checkClientPair(d, c.ServerKey, c.PrivateKey)
	return finish(c, d)
}

// LoadServer is LoadClient for a server.
func LoadServer(path string) (*Server, []Warning, error) {
	f, err := read(path)
	if err != nil {
		return nil, nil, err
	}
	s, d, err := parseWith(path, f.data, false, decodeServer)
	if err != nil {
		return nil, nil, err
	}
	d.loadKey(f, &s.PrivateKey, &s.PrivateKeyFile)
	checkServerPair(d, s.Clients, s.PrivateKey)
	return finish(s, d)
}

// parseWith fails only where there is no TOML to read; what is wrong with its
// contents is in the decoder.
func parseWith[T any](name string, data []byte, partial bool, decode func(*table) *T) (*T, *decoder, error) {
	doc, err := parse(name, data)
	if err != nil {
		return nil, nil, err
	}
	d := newDecoder(name, doc, partial)
	return decode(d.root()), d, nil
}

func finish[T any](config *T, d *decoder) (*T, []Warning, error) {
	if err := d.finish(); err != nil {
		return nil, d.notes, err
	}
	return config, d.notes, nil
}

// checkClientPair finds the two keys confused.
func checkClientPair(d *decoder, server control.PublicKey, own control.PrivateKey) {
	if !server.IsZero() && !own.IsZero() && server == own.Public() {
		d.root().fail("server_key", quote(server.String()), "", "belongs to this client's own private key: must be the server's public key")
	}
}

// checkServerPair finds a client's key confused with the server's.
func checkServerPair(d *decoder, clients []ServerClient, own control.PrivateKey) {
	for i, c := range clients {
		if !own.IsZero() && c.PublicKey == own.Public() {
			d.root().fail(elem("clients", i)+".public_key", quote(c.PublicKey.String()), "", "belongs to this server's own private key: must be the client's public key")
		}
	}
}

// content is a file and who may read it.
type content struct {
	path string
	data []byte
	mode fs.FileMode
}

// read reads a configuration file whole.
func read(path string) (content, error) {
	c, err := readFile(path)
	if err != nil {
		return content{}, Errors{{File: path, Problem: "cannot be read", Want: cause(err)}}
	}
	return c, nil
}

func readFile(path string) (content, error) {
	f, err := os.Open(path)
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return content{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("longer than %d bytes", maxFile)
	}
	return content{path: path, data: data, mode: info.Mode()}, err
}

// cause is an error without the path, which the reader knows.
func cause(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return err.Error()
}

// loadKey reads the private key's file, if one is named, relative to the
// configuration file, and warns if others may read the file with the key.
func (d *decoder) loadKey(config content, key *control.PrivateKey, file *string) {
	if *file == "" {
		if !key.IsZero() {
			d.checkMode(config)
		}
		return
	}
	if !filepath.IsAbs(*file) {
		*file = filepath.Join(filepath.Dir(config.path), *file)
	}
	const name = "private_key_file"
	c, err := readFile(*file)
	if err != nil {
		d.root().fail(name, quote(*file), "cannot be read", cause(err))
		return
	}
	k, err := control.ParsePrivateKey(strings.TrimSpace(string(c.data)))
	if err != nil {
		d.root().fail(name, quote(*file), "must hold a private key and nothing else, as 'multilink keygen --out' writes it", err.Error())
		return
	}
	*key = k
	d.checkMode(c)
}

func (d *decoder) checkMode(c content) {
	if c.mode.IsRegular() && c.mode.Perm()&0o077 != 0 {
		d.notes = append(d.notes, Warning{
			File:    c.path,
			Message: fmt.Sprintf("mode %04o lets others at the private key in it: chmod 600 %s", c.mode.Perm(), c.path),
		})
	}
}
