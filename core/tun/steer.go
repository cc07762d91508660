package tun

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// The kinds of packets that have queues of their own. What is small and may
// overtake does not wait behind super-packets; no flow's packets change places
// that must not:
//   - kindData are TCP segments with payload, FIN or RST, and fragments of TCP;
//   - kindSparse are TCP segments without any (SYN, acknowledgements) and ICMP;
//   - kindRest is everything else: UDP, and what cannot be told.
const (
	kindData = iota
	kindSparse
	kindRest
	kinds
)

// steer builds the program by which the kernel chooses the queue of a packet:
// its kind, and within it one of a number of ways by the end of its
// destination address. A packet too short to be looked at goes to queue 0.
//
// The program is that of a socket filter (TUNSETSTEERINGEBPF of linux/if_tun.h)
// on a packet without link header. R6 is the packet, R7 its protocol, R8 the
// destination, R9 the length of its headers.
func steer(ways int) asm.Instructions {
	const lenOffset = 0 // of len in struct __sk_buff, linux/bpf.h
	choose := func(kind int, label string) asm.Instructions {
		return asm.Instructions{
			asm.Mov.Imm(asm.R0, int32(kind*ways)).WithSymbol(label),
			asm.Ja.Label("out"),
		}
	}
	program := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R8, 0),
		asm.LoadAbs(0, asm.Byte),
		asm.Mov.Reg(asm.R9, asm.R0),
		asm.RSh.Imm(asm.R0, 4),
		asm.JEq.Imm(asm.R0, 6, "v6"),
		asm.JNE.Imm(asm.R0, 4, "rest"),

		asm.And.Imm(asm.R9, 0xf), // RFC 791, section 3.1
		asm.LSh.Imm(asm.R9, 2),
		asm.LoadAbs(16, asm.Word),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.LoadAbs(9, asm.Byte),
		asm.JEq.Imm(asm.R0, unix.IPPROTO_ICMP, "sparse"),
		asm.JNE.Imm(asm.R0, unix.IPPROTO_TCP, "rest"),
		asm.LoadAbs(6, asm.Half),
		asm.JSet.Imm(asm.R0, 0x3fff, "data"), // a fragment
		asm.Ja.Label("tcp"),

		asm.LoadAbs(36, asm.Word).WithSymbol("v6"), // RFC 8200, section 3
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.LoadAbs(6, asm.Byte),
		asm.Mov.Imm(asm.R9, 40),
		asm.JEq.Imm(asm.R0, unix.IPPROTO_ICMPV6, "sparse"),
		asm.JNE.Imm(asm.R0, unix.IPPROTO_TCP, "rest"),

		asm.LoadInd(asm.R0, asm.R9, 13, asm.Byte).WithSymbol("tcp"), // RFC 9293, section 3.1
		asm.JSet.Imm(asm.R0, 0x01|0x04, "data"),                     // FIN, RST
		asm.LoadInd(asm.R0, asm.R9, 12, asm.Byte),
		asm.RSh.Imm(asm.R0, 4),
		asm.LSh.Imm(asm.R0, 2),
		asm.Add.Reg(asm.R9, asm.R0),
		asm.LoadMem(asm.R1, asm.R6, lenOffset, asm.Word),
		asm.JGT.Reg(asm.R1, asm.R9, "data"),
	}
	program = append(program, choose(kindSparse, "sparse")...)
	program = append(program, choose(kindRest, "rest")...)
	program = append(program, choose(kindData, "data")...)
	return append(program,
		asm.Mod.Imm(asm.R8, int32(ways)).WithSymbol("out"),
		asm.Add.Reg(asm.R0, asm.R8),
		asm.Return(),
	)
}

// loadSteering gives the kernel the program for a number of ways. It takes
// CAP_BPF, or CAP_SYS_ADMIN before Linux 5.8.
func loadSteering(ways int) (*ebpf.Program, error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "multilink_steer", Type: ebpf.SocketFilter, License: "MIT", Instructions: steer(ways),
	})
	switch {
	case errors.Is(err, unix.EPERM):
		return nil, errNoSteering
	case err != nil:
		return nil, fmt.Errorf("the program that chooses among several: %w", err)
	}
	return program, nil
}
