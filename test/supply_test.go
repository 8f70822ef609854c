package test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// docs/dependencies.md is what is linked, and every licence is one that may be linked.
func TestDependencies(t *testing.T) {
	t.Parallel()
	tool := filepath.Join(t.TempDir(), "supply")
	runIn(t, "../tools/supply", "go", "build", "-o", tool, ".")
	want := runIn(t, "..", tool, "list", "bin/coredhcp", "bin/coresmd")
	page, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, got, _ := strings.Cut(string(page), "\n## Direct\n"); "## Direct\n"+got != want {
		t.Errorf("docs/dependencies.md is not what is linked: make docs; want\n%s", want)
	}
}

// The modules are those that go.sum names.
func TestModulesVerify(t *testing.T) {
	t.Parallel()
	if got := runIn(t, "..", "go", "mod", "verify"); got != "all modules verified\n" {
		t.Errorf("go mod verify: %s", got)
	}
}

// Two builds of one source in folders of their own are the same to the octet.
func TestReproducible(t *testing.T) {
	t.Parallel()
	var builds [2][]byte
	for i := range builds {
		dir := filepath.Join(t.TempDir(), "source")
		copyTree(t, "..", dir)
		runIn(t, dir, "env", "BUILD_VERSION=v1.2.3", "BUILD_COMMIT=0123abc", "SOURCE_DATE_EPOCH=1767323045", "GIT_STATE=clean",
			"BUILD_HOST=host", "BUILD_USER=user", "make", "-s", "bin/coresmd", "bin/coredhcp")
		for _, name := range []string{"bin/coredhcp", "bin/coresmd"} {
			binary, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			builds[i] = append(builds[i], binary...)
		}
	}
	if !bytes.Equal(builds[0], builds[1]) {
		t.Error("two builds differ")
	}
	if !bytes.Contains(builds[0], []byte("2026-01-02T03:04:05Z")) {
		t.Error("the time of the build is not that of SOURCE_DATE_EPOCH")
	}
}
