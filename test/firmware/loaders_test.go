//go:build firmware

package firmware

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

// What make loaders collects has the names that machines are offered, and loaders.txt tells
// what each is.
func TestLoaders(t *testing.T) {
	t.Parallel()
	root, err := dhcptest.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if out, err := exec.Command(filepath.Join(root, "collect_loaders.bash"), folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(folder, "loaders.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		if name, none := strings.CutPrefix(line, "# none in Debian's packages: "); none {
			got = append(got, strings.TrimSpace(name))
		}
		words := strings.Fields(line)
		if words[0] == "#" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, words[1]))
		if err != nil || fmt.Sprintf("%x", sha256.Sum256(content)) != words[0] || len(words) != 5 || words[2] != "ipxe" {
			t.Errorf("%v: %s", err, line)
		}
		got = append(got, words[1])
	}
	slices.Sort(got)
	want := []string{
		"ipxe-arm32.efi", "ipxe-arm64.efi", "ipxe-i386.efi", "ipxe-loong64.efi", "ipxe-riscv64.efi", "ipxe-x86_64.efi", "undionly.kpxe",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s\n%s", diff, text)
	}
}
