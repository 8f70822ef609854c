package test

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	// stockDoc and stockSection say where the steps of TestStockBuild are documented.
	stockDoc     = "../README.md"
	stockSection = "## Build into a stock CoreDHCP"

	builtBinary = "../bin/coredhcp" // made by make build
	genVersion  = "../gen_version.bash"
)

// allPlugins is what --plugins prints: ours and CoreDHCP's core plugins.
var allPlugins = []string{
	"autoconfigure", "bootloop", "coresmd", "dns", "file", "ipv6only", "lease_time", "mtu", "nbp", "netmask",
	"prefix", "range", "router", "searchdomains", "server_id", "sleep", "staticroute",
}

// TestStockBuild runs the documented steps. The two clones are the only lines it replaces, by copies:
// CoreDHCP's from the module cache, coresmd's from this tree.
func TestStockBuild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	steps := fenced(t, stockDoc, stockSection)
	steps = replaceLine(t, steps, "git clone https://github.com/coredhcp/coredhcp")
	steps = replaceLine(t, steps, "git clone https://github.com/OpenCHAMI/coresmd")

	coredhcp := runIn(t, ".", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/coredhcp/coredhcp")
	copyTree(t, strings.TrimSpace(coredhcp), filepath.Join(dir, "coredhcp"))
	copyTree(t, "..", filepath.Join(dir, "coresmd"))
	runIn(t, dir, "bash", "-euo", "pipefail", "-c", steps)

	checkPlugins(t, filepath.Join(dir, "build/coredhcp"))
	checkRefusal(t, dir)
	stamp, err := os.ReadFile(filepath.Join(dir, "coresmd/internal/version/stamp/build"))
	if err != nil {
		t.Fatal(err)
	}
	checkContains(t, filepath.Join(dir, "build/coredhcp"), string(stamp))
}

// TestForeignModule builds the server with our loop in a module of somebody else, beside a plugin
// of theirs.
func TestForeignModule(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	main := `package main

import (
	"github.com/OpenCHAMI/coresmd/bootloop"
	"github.com/OpenCHAMI/coresmd/coresmd"
	"github.com/OpenCHAMI/coresmd/server"
	"github.com/coredhcp/coredhcp/plugins"
	"github.com/coredhcp/coredhcp/plugins/serverid"
)

func main() {
	server.Main(&serverid.Plugin, &coresmd.Plugin, &bootloop.Plugin, &plugins.Plugin{Name: "ours"})
}
`
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(main), 0o644); err != nil {
		t.Fatal(err)
	}
	runIn(t, dir, "go", "mod", "init", "example.org/dhcp")
	version := strings.Fields(runIn(t, ".", "go", "list", "-m", "github.com/coredhcp/coredhcp"))[1]
	runIn(t, dir, "go", "mod", "edit", "-require=github.com/OpenCHAMI/coresmd@v0.0.0", "-replace=github.com/OpenCHAMI/coresmd="+root,
		"-require=github.com/coredhcp/coredhcp@"+version)
	runIn(t, dir, "go", "mod", "tidy")
	runIn(t, dir, "go", "build", "-o", "dhcp", ".")
	if diff := cmp.Diff("server_id\ncoresmd\nbootloop\nours\n", runIn(t, dir, "./dhcp", "--plugins")); diff != "" {
		t.Error(diff)
	}
	if got := runIn(t, dir, "./dhcp", "--version"); !strings.HasPrefix(got, "coredhcp with coresmd, version ") {
		t.Errorf("--version: %q", got)
	}
}

// checkRefusal starts the stock build on a directive with a mistake.
func checkRefusal(t *testing.T, dir string) {
	t.Helper()
	config := filepath.Join(dir, "config.yaml")
	text := "server4:\n  plugins:\n    - server_id: 192.0.2.1\n    - coresmd: not-a-url http://bss.example.org \"\" 30s 1h\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "build/coredhcp"), "-c", config).CombinedOutput()
	if err == nil {
		t.Error("a wrong directive is accepted")
	}
	const want = `argument 1 "not-a-url": svc_base_uri: no scheme; wanted a URL that begins with http:// or https:// or file://`
	if !strings.Contains(strings.ReplaceAll(string(out), `\"`, `"`), want) {
		t.Errorf("no %s in:\n%s", want, out)
	}
}

func TestBinaryHasAllPlugins(t *testing.T) {
	t.Parallel()
	checkPlugins(t, builtBinary)
}

func TestBinaryIsStatic(t *testing.T) {
	t.Parallel()
	for _, path := range []string{builtBinary, filepath.Join(filepath.Dir(builtBinary), "coresmd")} {
		f, err := elf.Open(path)
		if err != nil {
			t.Fatalf("%v: run make build", err)
		}
		defer f.Close()
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
				t.Errorf("%s has a %v segment", path, p.Type)
			}
		}
	}
}

func TestBinaryKnowsItsBuild(t *testing.T) {
	t.Parallel()
	info := runIn(t, ".", "go", "version", "-m", builtBinary)
	for _, want := range []string{
		"\tpath\tgithub.com/OpenCHAMI/coresmd/build/coredhcp\n",
		"\tdep\tgithub.com/coredhcp/coredhcp\t",
		"\tbuild\t-tags=netgo,osusergo,sqlite_omit_load_extension\n",
		"\tbuild\t-trimpath=true\n",
		"\tbuild\tCGO_ENABLED=1\n",
	} {
		if !strings.Contains(info, want) {
			t.Errorf("go version -m: no %q in\n%s", want, info)
		}
	}
	// With -trimpath the go command does not record link flags: the values are looked for in the binary itself.
	values := stampNow(t, genVersion)
	checkContains(t, builtBinary, values["commit"])
	checkContains(t, builtBinary, values["version"])
	checkContains(t, builtBinary, values["goVersion"])
}

// TestGenVersion calls gen_version.bash from a repository that is not the one it stands in.
func TestGenVersion(t *testing.T) {
	t.Parallel()
	elsewhere := t.TempDir()
	commitAll(t, elsewhere, "elsewhere")

	tagged := filepath.Join(t.TempDir(), "tagged")
	copyStamper(t, tagged)
	commitAll(t, tagged, "v1.2.3")
	head := strings.TrimSpace(runIn(t, tagged, "git", "rev-parse", "HEAD"))

	inside := filepath.Join(elsewhere, "inside")
	copyStamper(t, inside)

	dirty := filepath.Join(t.TempDir(), "dirty")
	copyStamper(t, dirty)
	commitAll(t, dirty, "v1.2.4")
	if err := os.WriteFile(filepath.Join(dirty, "tracked"), []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}

	tests := map[string]struct {
		dir                    string
		version, commit, state string
	}{
		"tagged":                   {tagged, "v1.2.3", head, "clean"},
		"changed":                  {dirty, "v1.2.4-dirty", strings.TrimSpace(runIn(t, dirty, "git", "rev-parse", "HEAD")), "dirty"},
		"no repository of its own": {inside, "", "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runIn(t, elsewhere, filepath.Join(test.dir, "gen_version.bash"))
			got := stampIn(t, test.dir)
			if got["version"] != test.version || got["commit"] != test.commit || got["gitState"] != test.state {
				t.Errorf("got %v, want version %q, commit %q, state %q", got, test.version, test.commit, test.state)
			}
			for _, name := range []string{"buildTime", "goVersion", "buildHost", "buildUser"} {
				if got[name] == "" {
					t.Errorf("%s is empty in %v", name, got)
				}
			}
		})
	}
}

func TestGenVersionLeavesTheTreeClean(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	copyStamper(t, dir)
	commitAll(t, dir, "v1.2.3")
	runIn(t, "/", filepath.Join(dir, "gen_version.bash"))
	if status := runIn(t, dir, "git", "status", "--porcelain"); status != "" {
		t.Errorf("git status:\n%s", status)
	}
}

func checkPlugins(t *testing.T, binary string) {
	t.Helper()
	got := strings.Fields(runIn(t, ".", binary, "--plugins"))
	slices.Sort(got)
	if !slices.Equal(got, allPlugins) {
		t.Errorf("%s --plugins: got %v, want %v", binary, got, allPlugins)
	}
}

func checkContains(t *testing.T, path, want string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want != "" && !bytes.Contains(content, []byte(want)) {
		t.Errorf("%s does not contain %q", path, want)
	}
}

// fenced returns the first bash block after the heading.
func fenced(t *testing.T, path, heading string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n"+heading+"\n")
	_, rest, opened := strings.Cut(rest, "\n```bash\n")
	block, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !opened || !closed {
		t.Fatalf("%s: no bash block below %q", path, heading)
	}
	return block
}

// replaceLine takes a line out of the steps: what it would bring is there already.
func replaceLine(t *testing.T, steps, line string) string {
	t.Helper()
	lines := strings.Split(steps, "\n")
	i := slices.Index(lines, line)
	if i < 0 {
		t.Fatalf("no line %q in\n%s", line, steps)
	}
	return strings.Join(slices.Delete(lines, i, i+1), "\n")
}

// copyTree copies a source tree without what is built in it. The copy is writable; the module cache is not.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Mkdir(to, 0o750); err != nil {
		t.Fatal(err)
	}
	runIn(t, from, "bash", "-euo", "pipefail", "-c",
		`tar -c --exclude=./bin --exclude=./build --exclude=./dist . | tar -x -C "$1" && chmod -R u+w "$1"`, "copy", to)
}

// copyStamper copies what gen_version.bash needs, plus one file to change.
func copyStamper(t *testing.T, dir string) {
	t.Helper()
	for to, from := range map[string]string{
		"gen_version.bash":                  genVersion,
		"internal/version/stamp/.gitignore": "../internal/version/stamp/.gitignore",
		"tracked":                           "../LICENSE",
	} {
		runIn(t, ".", "install", "-D", "-m", "755", from, filepath.Join(dir, to))
	}
}

// commitAll makes dir a repository with one commit that has the tag.
func commitAll(t *testing.T, dir, tag string) {
	t.Helper()
	runIn(t, dir, "git", "init", "-q")
	runIn(t, dir, "git", "add", "-A")
	runIn(t, dir, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-q", "--allow-empty", "-m", tag)
	runIn(t, dir, "git", "tag", tag)
}

func stampIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "internal/version/stamp/build"))
	if err != nil {
		t.Fatal(err)
	}
	return stampFields(string(text))
}

// stampNow returns what gen_version.bash --print prints.
func stampNow(t *testing.T, script string) map[string]string {
	t.Helper()
	return stampFields(runIn(t, ".", script, "--print"))
}

func stampFields(text string) map[string]string {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		values[name] = value
	}
	return values
}

// runIn returns the command's standard output. Its failure ends the test with all it said.
func runIn(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stdout, stderr.String())
	}
	return string(stdout)
}
