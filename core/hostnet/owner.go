package hostnet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// owner says whose journal it is. The start time makes the process number
// unambiguous, the boot the network namespace.
type owner struct {
	TUN   string `json:"tun"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot, proc_pid_stat(5) field 22
	Boot  string `json:"boot"`
	NetNS uint64 `json:"netns"` // inode number
}

// self describes this process in the network namespace of the calling thread.
func self(tun string) (owner, error) {
	start, _, err := processStart(os.Getpid())
	if err != nil {
		return owner{}, fmt.Errorf("hostnet: own start time: %w", err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return owner{}, fmt.Errorf("hostnet: boot id: %w", err)
	}
	ns, err := namespaceOf("/proc/thread-self/ns/net")
	if err != nil {
		return owner{}, fmt.Errorf("hostnet: own network namespace: %w", err)
	}
	return owner{TUN: tun, PID: os.Getpid(), Start: start, Boot: strings.TrimSpace(string(boot)), NetNS: ns}, nil
}

// alive tells whether the process that o describes still runs. A zombie does
// not: its descriptors, and with them the TUN device, are gone.
func (o owner) alive(boot string) bool {
	if o.PID <= 0 || o.Boot != boot {
		return false
	}
	start, state, err := processStart(o.PID)
	return err == nil && start == o.Start && state != 'Z' && state != 'X'
}

// processStart returns the start time and the state of a process.
func processStart(pid int) (start uint64, state byte, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	return parseStat(stat)
}

// parseStat reads fields 3 (state) and 22 (start time) of proc_pid_stat(5).
// The second field, the command in parentheses, may hold spaces and
// parentheses itself, so fields count from the last closing one.
func parseStat(stat []byte) (start uint64, state byte, err error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, errors.New("no command in process status")
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("process status has %d fields after the command, want at least 20", len(fields))
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return start, fields[0][0], err
}

// namespaceOf returns the inode number that identifies a namespace file.
func namespaceOf(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Ino, nil
}

// namespaceExists tells whether any thread of a process is in the network
// namespace, or a mount keeps it. One that is kept by a descriptor only is not
// found; nobody can enter it by name either.
func namespaceExists(ns uint64) bool {
	name := fmt.Sprintf("net:[%d]", ns)
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err == nil && bytes.Contains(mounts, []byte(name)) {
		return true
	}
	threads, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	if err != nil {
		return true
	}
	for _, thread := range threads {
		if target, err := os.Readlink(thread); err == nil && target == name {
			return true
		}
	}
	return false
}
