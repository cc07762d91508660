package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/multilink-vpn/multilink/sim/report"
)

// chosen are the scenarios of every run of the suite, which has to stay short.
// The others are for `make e2e-full`.
var chosen = []string{
	"demo", "two-equal-links", "two-equal-links-up", "unplug-replug", "third-link-joins", "late-first-link",
	"server-ipv6", "inner-ipv6", "mtu-1400-one-link", "dns-through-tunnel",
	"call-link-lossy", "wifi-change", "server-restart", "capped-link",
}

// scenarioTimeout bounds one scenario with its baselines.
const scenarioTimeout = 5 * time.Minute

// exitInconclusive is what `multilink-sim run` says when the emulator could
// not keep its accuracy: nothing about the product.
const exitInconclusive = 4

// A scenario has the name of its file.
var scenarioFiles, _ = filepath.Glob("../scenarios/*.yaml")

var _ = Describe("Scenario", func() {
	for _, path := range scenarioFiles {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		var label Labels
		if !slices.Contains(chosen, name) {
			label = Label("full")
		}
		It(name, label, SpecTimeout(scenarioTimeout), func(ctx SpecContext) {
			r := scenarioRun{file: path, folder: specFolder()}
			r.judge(ctx, r.run(ctx, "result", "--json", filepath.Join(r.folder, "result.json")))
		})
	}

	It("files are there for all that are chosen", func() {
		for _, name := range chosen {
			Expect(scenarioFiles).To(ContainElement(filepath.Join("../scenarios", name+".yaml")))
		}
	})
})

// scenarioRun runs a scenario and keeps what it finds in a folder.
type scenarioRun struct{ file, folder string }

// run runs it once, with all it prints in NAME.log, and returns the exit
// status.
func (r scenarioRun) run(ctx SpecContext, name string, flags ...string) int {
	GinkgoHelper()
	log, err := os.Create(filepath.Join(r.folder, name+".log"))
	Expect(err).NotTo(HaveOccurred())
	defer log.Close()
	args := append([]string{"run", "--seed", "1", "--verbose"}, flags...)
	cmd := exec.CommandContext(ctx, filepath.Join(suite.bin, "multilink-sim"), append(args, r.file)...)
	cmd.Stdout, cmd.Stderr = log, log
	// When time is up it removes what it made, which takes a moment.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	err = cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); !exited {
		Expect(err).NotTo(HaveOccurred())
	}
	return cmd.ProcessState.ExitCode()
}

// judge passes, skips or fails the spec.
func (r scenarioRun) judge(ctx SpecContext, status int) {
	GinkgoHelper()
	if status == exitOK {
		return
	}
	why := r.reason()
	switch status {
	case exitInconclusive:
		Skip("inconclusive: " + why)
	case exitMachine:
		Skip("this machine lacks something: " + why)
	case exitFailure:
		By("running it again for its captures, which would disturb the measurement")
		captures := filepath.Join(r.folder, "captures")
		Expect(os.Mkdir(captures, 0o755)).To(Succeed())
		again := r.run(ctx, "again", "--json", filepath.Join(r.folder, "again.json"), "--pcap", captures)
		Fail(fmt.Sprintf("%s\nResult, logs, and captures of a second run (exit status %d) are in %s", why, again, r.folder))
	}
	Fail(fmt.Sprintf("exit status %d\n%s", status, why))
}

// reason says what did not hold, or what was printed if there is no result.
func (r scenarioRun) reason() string {
	text, err := os.ReadFile(filepath.Join(r.folder, "result.json"))
	var result report.Result
	if err != nil || json.Unmarshal(text, &result) != nil {
		printed, _ := os.ReadFile(filepath.Join(r.folder, "result.log"))
		return string(printed)
	}
	var lines []string
	if result.Reason != "" {
		lines = append(lines, result.Reason)
	}
	for _, e := range result.Expectations {
		if !e.OK {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("does not hold: %s (%v, %v) %s", e.Expr, e.Left, e.Right, e.Error)))
		}
	}
	return strings.Join(lines, "\n")
}
