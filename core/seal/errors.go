package seal

import "errors"

// Why a datagram could not be sealed.
var (
	ErrNumber    = errors.New("packet number not greater than the last one sealed")
	ErrSealLimit = errors.New("key has sealed all it may")
	ErrBuffer    = errors.New("no room behind the header, or datagram too long")
)

// Why a datagram was not taken. They are for counters: a datagram that is
// refused is dropped.
var (
	ErrShort        = errors.New("datagram shorter than its header and tag")
	ErrForged       = errors.New("datagram is not authentic")
	ErrForgeryLimit = errors.New("too many forged datagrams under this key")
	ErrReplayed     = errors.New("packet number was seen before")
	ErrTooOld       = errors.New("packet number is below the replay window")
)
