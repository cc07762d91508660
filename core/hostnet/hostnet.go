package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// Host is the claim of one tunnel on the host's network settings. Its methods
// may be called from several goroutines, all of whose threads are in one
// network namespace.
type Host struct {
	mu        sync.Mutex
	env       *env
	changes   []change // made or about to be made, as in the journal
	recovered []Removed
	applied   bool
	guarded   bool // a kill switch alone is in force
	closed    bool
	client    ClientPlan // as applied
}

// Open claims the TUN device's name for this process, with a journal in
// stateDir, which is made when it does not exist. All tunnels of a machine
// should share one state directory, or they undo forwarding under each other.
//
// What a dead process left under this name is undone first; Recovered tells
// what. Only a kill switch and masquerading stay in force until ApplyClient or
// ApplyServer replaces them or Undo removes them: nothing leaks while the
// client finds its server, and connections through the server live on.
// A live owner is ErrBusy, a dead one in another network namespace that still
// exists ErrElsewhere.
func Open(stateDir, tun string) (*Host, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	if !validInterfaceName(tun) {
		return nil, fmt.Errorf("hostnet: TUN device %q, want a name of 1 to 15 characters: %w", tun, ErrPlan)
	}
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return nil, fmt.Errorf("hostnet: state directory: %w", err)
	}
	e, err := newEnv(stateDir, tun)
	if err != nil {
		return nil, err
	}
	h := &Host{env: e}
	if err := h.claim(); err != nil {
		e.close()
		return nil, err
	}
	return h, nil
}

// claim takes over the journal.
func (h *Host) claim() error {
	unlock, err := lockState(h.env.stateDir)
	if err != nil {
		return err
	}
	defer unlock()
	me := h.env.owner
	old, err := readJournal(h.env.stateDir, me.TUN)
	if err != nil {
		return err
	}
	if old != nil {
		if old.owner.alive(me.Boot) {
			return fmt.Errorf("hostnet: TUN device %s: process %d: %w", me.TUN, old.owner.PID, ErrBusy)
		}
		if err := h.takeOver(*old); err != nil {
			return err
		}
	}
	return writeJournal(h.env.stateDir, journal{owner: me, changes: h.changes})
}

// takeOver undoes what a dead owner left, except a guard.
func (h *Host) takeOver(old journal) error {
	if elsewhere(old.owner, h.env.owner) && namespaceExists(old.owner.NetNS) {
		return fmt.Errorf("hostnet: TUN device %s, net:[%d]: %w", old.owner.TUN, old.owner.NetNS, ErrElsewhere)
	}
	removed, err := h.env.revert(old, func(c change) bool {
		guard, ok := c.(*nftChange)
		if !ok || !guard.Guard || old.owner.NetNS != h.env.owner.NetNS || old.owner.Boot != h.env.owner.Boot {
			return false
		}
		if len(h.changes) == 0 { // one journal line is enough, however often processes died
			h.changes = append(h.changes, c)
		}
		return true
	})
	h.recovered = removed
	return err
}

// elsewhere tells whether a journal of this boot belongs to another network
// namespace.
func elsewhere(o, me owner) bool { return o.Boot == me.Boot && o.NetNS != me.NetNS }

// Recovered tells what Open undid for a process that had died.
func (h *Host) Recovered() []Removed { return h.recovered }

// Warnings tells what could not be done although the tunnel works without it,
// and what on the host is likely to stop traffic.
func (h *Host) Warnings() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.env.warnings)
}

// Undo puts everything back, removes the journal and ends the claim. What
// cannot be undone is in the error, and stays in the journal for Recover;
// what somebody else changed meanwhile is left alone without an error.
func (h *Host) Undo() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	unlock, err := lockState(h.env.stateDir)
	if err != nil {
		return err
	}
	defer unlock()
	h.closed = true
	defer h.env.close()
	if _, err := h.env.revert(journal{owner: h.env.owner, changes: h.changes}, nil); err != nil {
		return err
	}
	return removeJournal(h.env.stateDir, h.env.owner.TUN)
}

// ready tells whether a plan for the TUN device can be applied now.
func (h *Host) ready(tun string) error {
	if h.closed || h.applied {
		return fmt.Errorf("hostnet: apply to %s after apply or undo: %w", tun, ErrState)
	}
	if tun != h.env.owner.TUN {
		return fmt.Errorf("hostnet: plan for TUN device %s, but %s was opened: %w", tun, h.env.owner.TUN, ErrPlan)
	}
	_, err := h.env.device(tun)
	return err
}

// apply makes the changes in order, all or none of them.
func (h *Host) apply(changes []change) error {
	unlock, err := lockState(h.env.stateDir)
	if err != nil {
		return err
	}
	defer unlock()
	kept := slices.Clone(h.changes) // a guard taken over
	for _, c := range changes {
		if err := h.make(c); err != nil {
			return errors.Join(err, h.rollBack(kept))
		}
	}
	h.applied = true
	return nil
}

// make writes one change down and makes it.
func (h *Host) make(c change) error {
	needed, err := c.prepare(h.env)
	if err != nil || !needed {
		return err
	}
	if err := appendJournal(h.env.stateDir, h.env.owner.TUN, c); err != nil {
		return err
	}
	h.changes = append(h.changes, c)
	return c.do(h.env)
}

// rollBack undoes all but the changes to keep.
func (h *Host) rollBack(keep []change) error {
	guarded := slices.ContainsFunc(keep, func(c change) bool { return c.kind() == (*nftChange)(nil).kind() })
	_, err := h.env.revert(journal{owner: h.env.owner, changes: h.changes[len(keep):]}, func(c change) bool {
		// Of a guard taken over, the table is the new one by now.
		return guarded && c.kind() == (*nftChange)(nil).kind()
	})
	if err != nil {
		return err
	}
	h.changes = keep
	return writeJournal(h.env.stateDir, journal{owner: h.env.owner, changes: h.changes})
}

// drop undoes one of the changes made and forgets it.
func (h *Host) drop(c change) error {
	if _, err := c.undo(h.env); err != nil {
		return err
	}
	h.changes = slices.DeleteFunc(h.changes, func(other change) bool { return other == c })
	return writeJournal(h.env.stateDir, journal{owner: h.env.owner, changes: h.changes})
}

func removeJournal(stateDir, tun string) error {
	if err := os.Remove(journalPath(stateDir, tun)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("hostnet: remove journal: %w", err)
	}
	return syncDir(stateDir)
}
