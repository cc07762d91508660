package nsdo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ProcessStart returns when a process started, in ticks since boot
// (proc_pid_stat(5), field 22): with its PID it names a process for good. A
// process that has ended and only waits for its parent to notice is none.
func ProcessStart(pid int) (uint64, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	if state := fields[3-firstField]; state == "Z" || state == "X" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return strconv.ParseUint(fields[22-firstField], 10, 64)
}

// clockTicks is the unit of processor time in /proc/PID/stat, USER_HZ: 100 a
// second on all of Linux's architectures that Go knows.
const clockTicks = 100

// ProcessorTime returns how much processor time a process has used, user and
// system (proc_pid_stat(5), fields 14 and 15).
func ProcessorTime(pid int) (time.Duration, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	user, err := strconv.ParseUint(fields[14-firstField], 10, 63)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseUint(fields[15-firstField], 10, 63)
	return time.Duration(user+system) * (time.Second / clockTicks), err
}

// firstField is the number of the first field that stat returns.
const firstField = 3

// stat returns the fields of /proc/PID/stat behind the second, which is a name in
// brackets and may hold anything: at least those to the 22nd.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) <= 22-firstField {
		return nil, fmt.Errorf("/proc/%d/stat: %d fields behind the name", pid, len(fields))
	}
	return fields, nil
}

// Inside lists the processes in the network namespaces of these names, other than
// the calling one; names that no namespace has count for nothing. A process is in
// its namespace from before it runs its program.
func Inside(names ...string) []int {
	var spaces []os.FileInfo
	for _, name := range names {
		if space, err := os.Stat(filepath.Join(folder, name)); err == nil {
			spaces = append(spaces, space)
		}
	}
	paths, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	var list []int
	for _, path := range paths {
		of, err := os.Stat(path)
		if err != nil || !slices.ContainsFunc(spaces, func(space os.FileInfo) bool { return os.SameFile(of, space) }) {
			continue // ended since, or elsewhere
		}
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err == nil && pid != os.Getpid() {
			list = append(list, pid)
		}
	}
	return list
}

// Kill kills the processes that list names until it names none any more. The
// error names those that have not ended within the limit.
func Kill(list func() []int, limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		left := list()
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes %v do not end", left)
		}
		for _, pid := range left {
			_ = unix.Kill(pid, unix.SIGKILL) // gone since: fine
		}
	}
}
