package emu

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/link"
	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// Supported tries in a namespace of its own whether this kernel, for this
// user, has everything the netem backend needs, and says how that was found.
func Supported() (netem bool, why string) {
	ns, err := nsdo.New()
	if err != nil {
		return false, fmt.Sprintf("netem was not tried: %v", err)
	}
	defer ns.Close()
	k, err := newNamespaceKernel(ns)
	if err != nil {
		return false, fmt.Sprintf("netem was not tried: %v", err)
	}
	defer k.close()
	return supported(k)
}

// supported asks a kernel for a whole chain on the loopback interface.
func supported(k kernel) (netem bool, why string) {
	lo, err := k.index("lo")
	if err != nil {
		return false, fmt.Sprintf("netem was not tried: %v", err)
	}
	requests := chainRequests(lo, &link.Config{}, 0, false)
	for _, r := range append(requests, ingressRequest(lo), redirectRequest(lo, lo)) {
		if err := k.execute(r); err != nil {
			return false, refusal(r, err)
		}
	}
	return true, "a new network namespace took netem, tbf, u32 and mirred"
}

// refusal explains why the kernel did not take a message.
func refusal(r *nl.NetlinkRequest, err error) string {
	const tried = "tried on the loopback interface of a new network namespace"
	switch kind := describe(r); {
	case !errors.Is(err, unix.ENOENT):
		return fmt.Sprintf("the kernel refused %s: %v (%s)", kind, err, tried)
	case kind == "u32":
		return fmt.Sprintf("the kernel lacks cls_u32 or act_mirred: %v (%s)", err, tried)
	default:
		return fmt.Sprintf("the kernel lacks sch_%s: %v (%s)", module(kind), err, tried)
	}
}

// module is the part of the kernel that a queueing discipline comes from.
func module(kind string) string {
	if kind == "bfifo" || kind == "pfifo" {
		return "fifo"
	}
	return kind
}
