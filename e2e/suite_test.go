package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
)

// suite is what all specs share. BeforeSuite sets it, but for prefix.
var suite struct {
	// prefix begins the name of every namespace of this run.
	prefix string
	// bin is the folder with the suite's own copies of the binaries: they
	// stay the same while it runs, and anybody may execute them.
	bin string
	// folder is where the specs have their files.
	folder string
	// devices are the names of all interfaces that specs made; had are those
	// that this machine had before.
	devices, had map[string]bool
}

// patience bounds every wait for something that has to happen. It is long
// because machines are slow; nobody waits for it when things are well.
const patience = 20 * time.Second

func TestE2E(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the end-to-end tests make network namespaces and need root: sudo make e2e")
	}
	prefix, err := ownPrefix()
	if err != nil {
		t.Fatal(err)
	}
	suite.prefix = prefix
	suite.devices, suite.had = map[string]bool{}, map[string]bool{}
	SetDefaultEventuallyTimeout(patience)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RegisterFailHandler(Fail)
	RunSpecs(t, "Multilink's binaries")
}

var _ = BeforeSuite(func() {
	Expect(sweep()).To(Succeed())
	list, err := net.Interfaces()
	Expect(err).NotTo(HaveOccurred())
	for _, i := range list {
		suite.had[i.Name] = true
	}
	parent := os.Getenv("MULTILINK_E2E_DIR")
	if parent != "" {
		Expect(os.MkdirAll(parent, 0o755)).To(Succeed())
	}
	suite.folder, err = os.MkdirTemp(parent, "multilink-e2e-")
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Chmod(suite.folder, 0o755)).To(Succeed()) // a spec runs them as nobody
	suite.bin = filepath.Join(suite.folder, "bin")
	Expect(os.Mkdir(suite.bin, 0o755)).To(Succeed())
	from := os.Getenv("MULTILINK_BIN")
	if from == "" {
		from = "../bin"
	}
	for _, name := range []string{"multilink", "multilink-sim"} {
		if err := copyProgram(filepath.Join(from, name), filepath.Join(suite.bin, name)); err != nil {
			Fail(fmt.Sprintf("%v: build the programs with 'make', or set MULTILINK_BIN to the folder that has them", err))
		}
	}
})

var _ = AfterSuite(func() {
	if suite.bin != "" {
		Expect(os.RemoveAll(suite.bin)).To(Succeed())
		// Without a failed spec, nothing is in it.
		if err := os.Remove(suite.folder); err != nil {
			fmt.Fprintf(GinkgoWriter, "the files of failed specs are in %s\n", suite.folder)
		}
	}
	expectNothingLeft()
})

// expectNothingLeft looks for namespaces and interfaces of the suite.
func expectNothingLeft() {
	GinkgoHelper()
	spaces, err := filepath.Glob("/run/netns/" + suite.prefix + "*")
	Expect(err).NotTo(HaveOccurred())
	Expect(spaces).To(BeEmpty(), "network namespaces of the suite are left")
	list, err := net.Interfaces()
	Expect(err).NotTo(HaveOccurred())
	for _, i := range list {
		Expect(suite.devices[i.Name] && !suite.had[i.Name]).To(BeFalse(), "interface %s of the suite is on this machine", i.Name)
	}
}

// Reports the runs that said nothing, which are easily taken for good ones.
var _ = ReportAfterSuite("what was skipped", func(r Report) {
	var reasons []string
	for _, spec := range r.SpecReports {
		if spec.State == types.SpecStateSkipped && spec.Failure.Message != "" {
			reasons = append(reasons, spec.FullText()+": "+spec.Failure.Message)
		}
	}
	if len(reasons) == 0 {
		return
	}
	fmt.Printf("\nSkipped, which says nothing about the product: %d\n", len(reasons))
	for _, reason := range reasons {
		fmt.Printf("  %s\n", reason)
	}
})

// copyProgram copies a file that anybody may execute afterwards.
func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

var notForNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// specFolder makes a folder for the running spec. It stays if the spec fails.
func specFolder() string {
	GinkgoHelper()
	name := strings.ToLower(notForNames.ReplaceAllString(CurrentSpecReport().LeafNodeText, "-"))
	folder, err := os.MkdirTemp(suite.folder, name[:min(len(name), 20)]+"-")
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Chmod(folder, 0o755)).To(Succeed())
	DeferCleanup(func() {
		if CurrentSpecReport().Failed() {
			AddReportEntry("files", folder)
			return
		}
		Expect(os.RemoveAll(folder)).To(Succeed())
	})
	return folder
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return hex.EncodeToString(b)
}
