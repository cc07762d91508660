package control

import (
	"errors"
	"fmt"
)

// Why a control connection did not come about or ended.
var (
	// ErrMalformed is in every error about a message that could not be read.
	ErrMalformed = errors.New("malformed control message")
	// ErrProtocol is in every error about a peer that speaks TLS but is no
	// peer of this protocol.
	ErrProtocol = errors.New("not a multilink peer")
	// ErrTimeout is in every error about a peer that did not answer in time.
	ErrTimeout = errors.New("no answer in time")

	errTooMuch = errors.New("sent too much before it was known")
)

// WrongServerError is a client's error: the server is not the one that the
// configuration names.
type WrongServerError struct {
	Addr              string
	Presented, Pinned PublicKey
}

func (e *WrongServerError) Error() string {
	return fmt.Sprintf("the server at %s presented key %s, the configuration pins %s (server_key)", e.Addr, e.Presented, e.Pinned)
}

// PinnedOtherError is a server's error: a client turned away because it
// expects another server key.
type PinnedOtherError struct {
	Addr string
	Key  PublicKey // the server's
}

func (e *PinnedOtherError) Error() string {
	return fmt.Sprintf("client at %s expects a server with another key: its server_key must be %s", e.Addr, e.Key)
}

// UnknownClientError is a server's error: the client's key is not configured.
type UnknownClientError struct {
	Addr string
	Key  PublicKey
}

func (e *UnknownClientError) Error() string {
	return fmt.Sprintf("client at %s presented an unknown key %s: add it to [[clients]] as public_key if it is to connect", e.Addr, e.Key)
}

// RejectError is a client's error: the server answered Reject.
type RejectError struct {
	Addr string
	Reject
}

func (e *RejectError) Error() string {
	return fmt.Sprintf("the server at %s rejected this link: %s (%s)", e.Addr, e.Reason, e.Code)
}

// VersionError is a server's error: the client speaks another version.
type VersionError struct {
	Theirs int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("the client speaks version %d of the control protocol, the server version %d: update the older one", e.Theirs, Version)
}
