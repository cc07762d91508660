package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Removed is one thing that a dead process had left.
type Removed struct {
	TUN  string // the tunnel it was made for
	What string // what it is, for people
	Kept string // why it was left as it is; empty when it was put back
}

func (r Removed) String() string {
	if r.Kept != "" {
		return fmt.Sprintf("%s: left %s as it is: %s", r.TUN, r.What, r.Kept)
	}
	return fmt.Sprintf("%s: removed %s", r.TUN, r.What)
}

// Recover undoes what processes that are dead left on this host, kill switches
// included, and tells what it did. Journals of live processes, and of other
// network namespaces that still exist, are left alone. It goes on after an
// error; what could not be undone stays in the journal.
func Recover(stateDir string) ([]Removed, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(stateDir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	unlock, err := lockState(stateDir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	tuns, err := journals(stateDir)
	if err != nil {
		return nil, err
	}
	var all []Removed
	var errs []error
	for _, tun := range tuns {
		removed, err := recoverOne(stateDir, tun)
		all = append(all, removed...)
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}

func recoverOne(stateDir, tun string) ([]Removed, error) {
	e, err := newEnv(stateDir, tun)
	if err != nil {
		return nil, err
	}
	defer e.close()
	j, err := readJournal(stateDir, tun)
	if err != nil || j == nil || j.owner.alive(e.owner.Boot) {
		return nil, err
	}
	if elsewhere(j.owner, e.owner) && namespaceExists(j.owner.NetNS) {
		return []Removed{{
			TUN: tun, What: "its changes",
			Kept: fmt.Sprintf("they are in another network namespace, net:[%d]", j.owner.NetNS),
		}}, nil
	}
	removed, err := e.revert(*j, nil)
	if err != nil {
		return removed, err
	}
	return removed, removeJournal(stateDir, tun)
}

// revert undoes the changes of a journal, the last first, and goes on after
// an error. It passes over those that keep, if given, asks for. Of a network
// namespace that has gone, only what outlives it is undone.
func (e *env) revert(j journal, keep func(change) bool) ([]Removed, error) {
	var removed []Removed
	var errs []error
	lost := j.owner.Boot != e.owner.Boot || j.owner.NetNS != e.owner.NetNS
	for _, c := range slices.Backward(j.changes) {
		if (lost && !c.outlives()) || (keep != nil && keep(c)) {
			continue
		}
		result, err := c.undo(e)
		errs = append(errs, err)
		if result.done || result.kept != "" {
			removed = append(removed, Removed{TUN: j.owner.TUN, What: c.String(), Kept: result.kept})
		}
	}
	for _, text := range j.damaged {
		removed = append(removed, Removed{TUN: j.owner.TUN, What: "an entry of its journal", Kept: "it cannot be read: " + text})
	}
	return removed, errors.Join(errs...)
}
