package nsdo

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestProcessStart(t *testing.T) {
	first, err := ProcessStart(os.Getpid())
	if err != nil || first == 0 {
		t.Fatalf("own start: %d, %v", first, err)
	}
	again, _ := ProcessStart(os.Getpid())
	if again != first {
		t.Errorf("%d, then %d", first, again)
	}
	ended := exec.Command("/bin/true")
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(time.Minute); ; { // it is not waited for: it stays as a zombie
		if _, err := ProcessStart(ended.Process.Pid); err != nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("a process that has ended has a start")
		}
	}
	_ = ended.Wait()
	if _, err := ProcessStart(1 << 30); err == nil {
		t.Error("a process that is not there has a start")
	}
}

func TestProcessorTime(t *testing.T) {
	for limit := time.Now().Add(time.Minute); ; {
		used, err := ProcessorTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if used > 0 { // this loop alone takes that long
			break
		}
		if time.Now().After(limit) {
			t.Fatal("a process that works uses no processor time")
		}
	}
	if _, err := ProcessorTime(1 << 30); err == nil {
		t.Error("a process that is not there has processor time")
	}
}
