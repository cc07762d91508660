package hostnet

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxEntry bounds a file that is kept in a journal.
const maxEntry = 1 << 20

// entry is a file or a symlink.
type entry struct {
	Link string      `json:"link,omitempty"` // the target of a symlink
	Data []byte      `json:"data,omitempty"`
	Mode fs.FileMode `json:"mode,omitempty"` // permission bits
	UID  int         `json:"uid,omitempty"`
	GID  int         `json:"gid,omitempty"`
}

func (a entry) equal(b entry) bool {
	return a.Link == b.Link && string(a.Data) == string(b.Data) && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID
}

// readEntry returns nil when there is nothing at path.
func readEntry(path string) (*entry, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hostnet: %w", err)
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return nil, fmt.Errorf("hostnet: %w", err)
		}
		return &entry{Link: target}, nil
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("hostnet: %s is neither a file nor a symlink", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("hostnet: %w", err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxEntry+1))
	if err != nil {
		return nil, fmt.Errorf("hostnet: read %s: %w", path, err)
	}
	if len(data) > maxEntry {
		return nil, fmt.Errorf("hostnet: %s is larger than %d bytes", path, maxEntry)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return &entry{Data: data, Mode: info.Mode().Perm(), UID: int(stat.Uid), GID: int(stat.Gid)}, nil
}

// ReplaceFile writes a file, for its owner alone, in one step: a crash leaves what was
// there or the new one. Folders that do not exist are made.
func ReplaceFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return replaceEntry(path, ownEntry(data))
}

// ownEntry is a file that belongs to this process's user, who alone may read it.
func ownEntry(data []byte) entry {
	return entry{Data: data, Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()}
}

// replaceEntry puts e at path in one step, so that a crash leaves either what
// was there or e. What a crash leaves beside it is removed the next time.
func replaceEntry(path string, e entry) error {
	temp := path + ".multilink"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := createEntry(temp, e); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

// createEntry makes e at a path where nothing is.
func createEntry(path string, e entry) error {
	if e.Link != "" {
		return os.Symlink(e.Link, path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(e.Data)
	if err == nil {
		err = file.Chown(e.UID, e.GID)
	}
	if err == nil {
		err = file.Chmod(e.Mode)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDir makes a rename or removal in dir last.
func syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
