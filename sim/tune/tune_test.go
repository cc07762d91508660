package tune

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestOrdinaryChildren(t *testing.T) {
	defer Process()()
	if niceness() != tunedNice {
		t.Skip("the process may not raise its priority")
	}
	var child string
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread has another priority
		if err := Ordinary(); err != nil {
			result <- err
			return
		}
		text, err := exec.Command("cat", "/proc/self/stat").Output()
		child = string(text)
		result <- err
	}()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	// proc_pid_stat(5): the 19th field is the niceness, the 17th after the name.
	_, rest, _ := strings.Cut(child, ") ")
	if fields := strings.Fields(rest); len(fields) < 17 || fields[16] != fmt.Sprint(usualNice.Load()) {
		t.Errorf("the child's niceness is not %d: %s", usualNice.Load(), child)
	}
	if niceness() != tunedNice {
		t.Error("other threads lost their priority")
	}
}

func TestProcessRestores(t *testing.T) {
	procs, nice := runtime.GOMAXPROCS(0), niceness()
	Process()()
	if runtime.GOMAXPROCS(0) != procs || niceness() != nice {
		t.Errorf("GOMAXPROCS %d and niceness %d became %d and %d", procs, nice, runtime.GOMAXPROCS(0), niceness())
	}
}
