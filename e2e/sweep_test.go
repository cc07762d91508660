package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// What a suite makes outside its own process are namespaces and processes in
// them. The names of the namespaces tell which process made them, so that the
// next suite can remove what one that was killed left:
//
//	mle-PID-START-XX-NAME
//
// START is when the process started, in ticks since boot (proc_pid_stat(5),
// field 22): the kernel uses PIDs again.
const spacePrefix = "mle-"

// ownPrefix begins the names of this suite's namespaces.
func ownPrefix() (string, error) {
	start, err := nsdo.ProcessStart(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%d-%d-", spacePrefix, os.Getpid(), start), nil
}

// sweep removes what suites left whose process is gone.
func sweep() error {
	spaces, err := filepath.Glob("/run/netns/" + spacePrefix + "*")
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range spaces {
		name := filepath.Base(path)
		if !orphaned(name) {
			continue
		}
		fmt.Printf("removing %s, which a suite left that was killed\n", name)
		errs = append(errs, nsdo.Kill(func() []int { return nsdo.Inside(name) }, patience), nsdo.Delete(name))
	}
	return errors.Join(errs...)
}

// orphaned tells whether a namespace's name is one of a suite whose process is
// gone.
func orphaned(name string) bool {
	parts := strings.SplitN(strings.TrimPrefix(name, spacePrefix), "-", 3)
	if len(parts) < 3 {
		return false
	}
	pid, err := strconv.Atoi(parts[0])
	started, err2 := strconv.ParseUint(parts[1], 10, 64)
	if err != nil || err2 != nil {
		return false
	}
	start, err := nsdo.ProcessStart(pid)
	return err != nil || start != started
}

var _ = Describe("The suite", func() {
	It("removes what one left that was killed, and nothing else", func() {
		dead := exec.Command("true")
		Expect(dead.Run()).To(Succeed())
		left := fmt.Sprintf("%s%d-%d-00-left", spacePrefix, dead.Process.Pid, 1)
		ns, err := nsdo.Create(left)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(ns.Close)
		DeferCleanup(nsdo.Delete, left)
		process := exec.Command("sleep", "600")
		Expect(nsdo.Start(ns, process, nil)).To(Succeed())
		ended := make(chan error, 1)
		go func() { ended <- process.Wait() }()
		mine := newMachine(specFolder(), "mine")

		Expect(sweep()).To(Succeed())
		Eventually(ended).Should(Receive(MatchError(ContainSubstring("killed"))))
		Expect("/run/netns/" + left).NotTo(BeAnExistingFile())
		mine.up("lo") // still there
		spaces, err := filepath.Glob("/run/netns/" + suite.prefix + "*-mine")
		Expect(err).NotTo(HaveOccurred())
		Expect(spaces).To(HaveLen(1))
	})
})
