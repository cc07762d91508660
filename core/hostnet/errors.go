package hostnet

import "errors"

// Errors that callers tell apart. Each is wrapped with the value concerned.
var (
	// ErrPrivilege says that the process may not change the network.
	ErrPrivilege = errors.New("needs root or CAP_NET_ADMIN: run with sudo")
	// ErrBusy says that a live process owns the TUN device's journal.
	ErrBusy = errors.New("already in use by a running process")
	// ErrElsewhere says that a dead process left changes under the TUN
	// device's name in a network namespace that can only be put right there.
	ErrElsewhere = errors.New("changes were left in another network namespace: clean up there, or use another name or state directory")
	// ErrTaken says that a routing table, rule number, mark or nftables table
	// the plan asks for belongs to somebody else. Nothing has been applied.
	ErrTaken = errors.New("already taken")
	// ErrPlan says that a plan contradicts itself or holds an impossible value.
	ErrPlan = errors.New("impossible plan")
	// ErrNoDevice says that the TUN device of the plan does not exist.
	ErrNoDevice = errors.New("no such network device")
	// ErrState says that a call does not fit what was called before: a second
	// Apply, or a call after Undo.
	ErrState = errors.New("not possible in this state")
	// ErrLocked says that another process kept the state directory locked.
	ErrLocked = errors.New("state directory is locked by another process")
)
