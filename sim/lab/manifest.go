package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// runDir holds, for each run, a manifest ID.json and a folder ID with its
// files.
const runDir = "/run/multilink-sim"

// runVariable marks every process of a run in its environment, with the run's
// id as value.
const runVariable = "MULTILINK_SIM_RUN"

// manifest says what a run makes outside its own process. It is written before
// anything is made, so that the next run can remove what a killed one left.
type manifest struct {
	ID       string `json:"id"`
	Scenario string `json:"scenario"`
	// PID and Start (in ticks since boot) name the process that removes it.
	PID        int      `json:"pid"`
	Start      uint64   `json:"start"`
	Namespaces []string `json:"namespaces"`
}

func (m *manifest) path() string   { return filepath.Join(runDir, m.ID+".json") }
func (m *manifest) folder() string { return filepath.Join(runDir, m.ID) }

// newManifest announces a run of so many links by this process, and makes its
// folder.
func newManifest(n names, scenario string, links int) (*manifest, error) {
	start, err := nsdo.ProcessStart(os.Getpid())
	if err != nil {
		return nil, err
	}
	m := &manifest{ID: n.id, Scenario: scenario, PID: os.Getpid(), Start: start, Namespaces: n.all(links)}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(m.folder(), 0o700); err != nil {
		return nil, err
	}
	// Renamed, so that a sweep never reads half of one.
	half := m.path() + ".new"
	if err := os.WriteFile(half, text, 0o600); err != nil {
		return nil, err
	}
	return m, os.Rename(half, m.path())
}

// orphaned says whether the process that made it is gone.
func (m *manifest) orphaned() bool {
	start, err := nsdo.ProcessStart(m.PID)
	return err != nil || start != m.Start
}

// clear removes everything the manifest names, then the manifest. What is gone
// already is no error.
func (m *manifest) clear() error {
	err := nsdo.Kill(m.processes, killPatience)
	for _, name := range m.Namespaces {
		err = errors.Join(err, nsdo.Delete(name))
	}
	if err != nil {
		return err // the manifest stays for another try
	}
	return errors.Join(os.RemoveAll(m.folder()), os.Remove(m.path()))
}

// Sweep removes what earlier runs left that were killed, and says so in log.
// Runs that still go on are left alone.
func Sweep(log io.Writer) error {
	files, err := filepath.Glob(filepath.Join(runDir, "*.json"))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		m, err := readManifest(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // another sweep was faster
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !m.orphaned() {
			continue
		}
		fmt.Fprintf(log, "removing what run %s (%s) left: its process %d is gone\n", m.ID, m.Scenario, m.PID)
		if err := m.clear(); err != nil {
			errs = append(errs, fmt.Errorf("removing what run %s left: %w", m.ID, err))
		}
	}
	return errors.Join(errs...)
}

func readManifest(file string) (*manifest, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m := &manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if m.ID+".json" != filepath.Base(file) {
		return nil, fmt.Errorf("%s: names run %q: remove the file", file, m.ID)
	}
	for _, name := range m.Namespaces {
		if !strings.HasPrefix(name, (names{m.ID}).prefix()+"-") || strings.Contains(name, "/") {
			return nil, fmt.Errorf("%s: %q is no namespace of that run: remove the file", file, name)
		}
	}
	return m, nil
}

// killPatience bounds the wait for killed processes to be gone.
const killPatience = 5 * time.Second

// processes lists the processes, other than this one, that belong to the run:
// their environment names it. One in a namespace of the run that has no
// environment belongs to it too: the kernel shows a program's environment only
// a moment after it has let its parent go on.
func (m *manifest) processes() []int {
	inside := nsdo.Inside(m.Namespaces...)
	entries, _ := os.ReadDir("/proc")
	var list []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			continue
		}
		marked := slices.Contains(strings.Split(string(environment), "\x00"), runVariable+"="+m.ID)
		if marked || len(environment) == 0 && slices.Contains(inside, pid) {
			list = append(list, pid)
		}
	}
	return list
}
