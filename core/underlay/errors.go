package underlay

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Why a socket cannot be opened. The errors of Open, DialTCP and ListenTCP
// wrap one of these where the cause is known.
var (
	ErrInUse      = errors.New("the port is in use by another process")
	ErrPermission = errors.New("not permitted: it needs root or CAP_NET_ADMIN")
	ErrNoDevice   = errors.New("there is no such interface")
	ErrNoAddress  = errors.New("this host does not have the local address")
)

// errNoFastMode says that the kernel lacks what the fast version needs.
var errNoFastMode = errors.New("this kernel has no UDP_SEGMENT and UDP_GRO (Linux 5.0 has)")

// explain turns the error of opening a socket into what a user can act on.
// The original stays where the cause is not one of those above.
func explain(what string, err error) error {
	for _, known := range []struct{ errno, cause error }{
		{unix.EADDRINUSE, ErrInUse},
		{unix.EPERM, ErrPermission},
		{unix.EACCES, ErrPermission},
		{unix.ENODEV, ErrNoDevice},
		{unix.EADDRNOTAVAIL, ErrNoAddress},
	} {
		if errors.Is(err, known.errno) {
			return fmt.Errorf("underlay: %s: %w", what, known.cause)
		}
	}
	return fmt.Errorf("underlay: %s: %w", what, err)
}

// byICMP says whether an error can be one that an ICMP message left on the
// socket for the next call, whatever that is (ip(7), and icmp_err_convert of
// the kernel). Anyone can send such messages, so they mean nothing. Reading
// the error takes it off the socket.
func byICMP(err error) bool {
	for _, errno := range []unix.Errno{
		unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENONET,
		unix.ENOPROTOOPT, unix.EPROTO, unix.EOPNOTSUPP, unix.EACCES, unix.EMSGSIZE,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
