package hostnet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const journalSuffix = ".journal"

// journalPath is where the changes for tun are written down.
func journalPath(stateDir, tun string) string {
	return filepath.Join(stateDir, tun+journalSuffix)
}

// journal is the content of one journal file.
type journal struct {
	owner   owner
	changes []change // in the order they were made
	damaged []string // lines that make no sense, and why
}

// parseJournal reads a journal. It never fails: lines that cannot be read are
// listed, so that the rest can still be undone. A last line without an end
// was being written when the process died; its change was never made.
func parseJournal(data []byte) journal {
	var j journal
	for number := 1; len(data) > 0; number++ {
		text, rest, complete := bytes.Cut(data, []byte("\n"))
		data = rest
		if !complete {
			break
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			j.damaged = append(j.damaged, fmt.Sprintf("line %d: %v", number, err))
			continue
		}
		if l.Owner != nil {
			j.owner = *l.Owner
			continue
		}
		c, err := decodeChange(l)
		if err != nil {
			j.damaged = append(j.damaged, fmt.Sprintf("line %d: %v", number, err))
			continue
		}
		j.changes = append(j.changes, c)
	}
	return j
}

// encode is the inverse of parseJournal for undamaged journals.
func (j journal) encode() ([]byte, error) {
	first, err := json.Marshal(line{Owner: &j.owner})
	if err != nil {
		return nil, err
	}
	data := append(first, '\n')
	for _, c := range j.changes {
		text, err := encodeChange(c)
		if err != nil {
			return nil, err
		}
		data = append(append(data, text...), '\n')
	}
	return data, nil
}

// writeJournal replaces the journal of j's owner as a whole, atomically.
func writeJournal(stateDir string, j journal) error {
	data, err := j.encode()
	if err != nil {
		return fmt.Errorf("hostnet: encode journal: %w", err)
	}
	if err := replaceEntry(journalPath(stateDir, j.owner.TUN), ownEntry(data)); err != nil {
		return fmt.Errorf("hostnet: write journal: %w", err)
	}
	return nil
}

// appendJournal adds one change and returns once it is on disk.
func appendJournal(stateDir, tun string, c change) error {
	text, err := encodeChange(c)
	if err != nil {
		return fmt.Errorf("hostnet: encode journal: %w", err)
	}
	file, err := os.OpenFile(journalPath(stateDir, tun), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("hostnet: append to journal: %w", err)
	}
	_, err = file.Write(append(text, '\n'))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("hostnet: append to journal: %w", err)
	}
	return nil
}

// readJournal returns nil without an error when there is none.
func readJournal(stateDir, tun string) (*journal, error) {
	data, err := os.ReadFile(journalPath(stateDir, tun))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hostnet: read journal: %w", err)
	}
	j := parseJournal(data)
	j.owner.TUN = tun
	return &j, nil
}

// journals returns the names of the TUN devices that have a journal.
func journals(stateDir string) ([]string, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hostnet: state directory: %w", err)
	}
	var tuns []string
	for _, entry := range entries {
		if tun, ok := strings.CutSuffix(entry.Name(), journalSuffix); ok && validInterfaceName(tun) {
			tuns = append(tuns, tun)
		}
	}
	return tuns, nil
}

// neighbours returns the changes of the other journals that concern this
// network namespace, whether their owners live or not: until they are undone,
// they use what they changed.
func (e *env) neighbours() ([]change, error) {
	tuns, err := journals(e.stateDir)
	if err != nil {
		return nil, err
	}
	var all []change
	for _, tun := range tuns {
		if tun == e.owner.TUN {
			continue
		}
		j, err := readJournal(e.stateDir, tun)
		if err != nil {
			return nil, err
		}
		if j != nil && j.owner.Boot == e.owner.Boot && j.owner.NetNS == e.owner.NetNS {
			all = append(all, j.changes...)
		}
	}
	return all, nil
}

// neighbour returns the change of one kind among those of neighbours that matches,
// nil when there is none.
func neighbour[T change](e *env, matches func(T) bool) (found T, err error) {
	changes, err := e.neighbours()
	for _, other := range changes {
		if c, ok := other.(T); ok && matches(c) {
			return c, nil
		}
	}
	return found, err
}

// validInterfaceName follows dev_valid_name of the kernel.
func validInterfaceName(name string) bool {
	return name != "" && len(name) <= 15 && name != "." && name != ".." &&
		!strings.ContainsAny(name, "/: \t\n\v\f\r")
}
