package emu

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct{ command, data uint32 }

// ifreqPointer is struct ifreq of linux/if.h with a pointer in its union.
type ifreqPointer struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

// DisableTxChecksum turns off checksum offload, and with it TCP and UDP
// segmentation offload, of an interface in the calling thread's namespace.
//
// The endpoint side of each veth pair whose other side is a Port needs it:
// frames that the emulator takes from a veth never pass a real network card,
// so nobody would fill in their checksums or cut them to size, and receivers
// would drop them.
func DisableTxChecksum(ifname string) error {
	if len(ifname) >= unix.IFNAMSIZ {
		return fmt.Errorf("interface name %q has more than %d characters", ifname, unix.IFNAMSIZ-1)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("turn off checksum offload of %s: socket: %w", ifname, err)
	}
	defer unix.Close(fd)
	value := &ethtoolValue{command: unix.ETHTOOL_STXCSUM}
	request := &ifreqPointer{data: unsafe.Pointer(value)}
	copy(request.name[:], ifname)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(request)))
	runtime.KeepAlive(value)
	if errno != 0 {
		return fmt.Errorf("turn off checksum offload of %s: %w", ifname, errno)
	}
	return nil
}
