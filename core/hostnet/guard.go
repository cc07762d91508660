package hostnet

import "fmt"

// Guard puts the kill switch of a client's plan into force and nothing else of
// it, so that nothing leaves past the tunnel before there is one: the device
// need not exist, and the plan needs no addresses. ApplyClient then replaces it
// in one step, and it outlives the process as the kill switch of a full plan
// does.
func (h *Host) Guard(p ClientPlan) error {
	if !p.KillSwitch || p.Mark == 0 || p.TUN != h.env.owner.TUN {
		return fmt.Errorf("hostnet: guard of TUN device %s, mark %d, kill switch %v, want %s, a mark and a kill switch: %w",
			p.TUN, p.Mark, p.KillSwitch, h.env.owner.TUN, ErrPlan)
	}
	if err := validateLinks(p.Links, p.TUN); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.applied {
		return fmt.Errorf("hostnet: guard %s after apply or undo: %w", p.TUN, ErrState)
	}
	unlock, err := lockState(h.env.stateDir)
	if err != nil {
		return err
	}
	defer unlock()
	p.Addresses = nil // there are none yet
	err = h.make(&nftChange{Table: tableName(p.TUN), Guard: true, Adopted: len(h.changes) > 0, fill: clientTable(p)})
	if err != nil {
		return err
	}
	h.client, h.guarded = p, true
	return nil
}

// Withdraw undoes a client's plan, but for its kill switch, so that another one
// can be applied. Without a plan it does nothing.
func (h *Host) Withdraw() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.applied || h.closed {
		return nil
	}
	unlock, err := lockState(h.env.stateDir)
	if err != nil {
		return err
	}
	defer unlock()
	var kept []change
	_, err = h.env.revert(journal{owner: h.env.owner, changes: h.changes}, func(c change) bool {
		guard, ok := c.(*nftChange)
		if ok && guard.Guard {
			kept = []change{c} // of several entries for one table, one will do
			return true
		}
		return false
	})
	if err != nil {
		return err
	}
	h.changes, h.applied, h.guarded = kept, false, len(kept) > 0
	h.env.warnings = nil
	return writeJournal(h.env.stateDir, journal{owner: h.env.owner, changes: h.changes})
}
