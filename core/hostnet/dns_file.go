package hostnet

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// fileChange replaces a file and later puts back what was there: a file with
// its owner and mode, a symlink, or nothing.
type fileChange struct {
	Path string `json:"path"`
	Data string `json:"data"` // what it is replaced by
	Prev *entry `json:"prev,omitempty"`
}

func (c *fileChange) kind() string   { return "file" }
func (c *fileChange) outlives() bool { return true }
func (c *fileChange) String() string { return c.Path }

func (c *fileChange) prepare(e *env) (bool, error) {
	other, err := neighbour(e, func(o *fileChange) bool { return o.Path == c.Path })
	if err != nil {
		return false, err
	}
	if other != nil {
		return false, fmt.Errorf("hostnet: %s is managed by another tunnel, set dns for one of them only: %w", c.Path, ErrTaken)
	}
	c.Prev, err = readEntry(c.Path)
	return true, err
}

func (c *fileChange) do(*env) error {
	// Through a symlink the file of a service would be written, which
	// would not survive that service's next update: the link is replaced.
	return writeEntry(c.Path, entry{Data: []byte(c.Data), Mode: 0o644})
}

func (c *fileChange) undo(*env) (outcome, error) {
	current, err := readEntry(c.Path)
	if err != nil {
		return gone, err
	}
	switch {
	case current == nil && c.Prev == nil, current != nil && c.Prev != nil && current.equal(*c.Prev):
		return gone, nil
	case current == nil || current.Link != "" || string(current.Data) != c.Data:
		return kept("it was changed meanwhile"), nil
	case c.Prev == nil:
		if err := os.Remove(c.Path); err != nil {
			return gone, fmt.Errorf("hostnet: %w", err)
		}
		return undone, nil
	}
	if err := writeEntry(c.Path, *c.Prev); err != nil {
		return gone, err
	}
	return undone, nil
}

// writeEntry puts e at path, in one step wherever the file system lets it.
func writeEntry(path string, e entry) error {
	err := replaceEntry(path, e)
	if errors.Is(err, unix.EBUSY) && e.Link == "" {
		// A mount point, as containers have it, can only be written in
		// place.
		err = os.WriteFile(path, e.Data, e.Mode)
	}
	if err != nil {
		return fmt.Errorf("hostnet: write %s: %w", path, err)
	}
	return nil
}
