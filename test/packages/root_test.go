//go:build packages

package packages

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// rootArchive is a fresh Debian, see the Makefile.
const rootArchive = "../../build/debian-root.tar.gz"

// user is whom the unit's DynamicUser stands for.
const user = "61234"

// root is a Debian in a folder, on a host of its own.
type root struct {
	t   *testing.T
	dir string
	ns  *dhcptest.Namespace
}

// newRoot unpacks a fresh Debian.
func newRoot(t *testing.T, ns *dhcptest.Namespace) *root {
	t.Helper()
	r := &root{t: t, dir: t.TempDir(), ns: ns}
	runIn(t, r.dir, "tar", "-xzf", abs(t, rootArchive))
	runIn(t, r.dir, "chmod", "755", ".")
	return r
}

// command prepares a program inside. What is mounted for it is gone with it.
func (r *root) command(words ...string) *exec.Cmd {
	const inside = `mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" && root=$1 && shift && exec chroot "$root" "$@"`
	cmd := r.ns.Command(context.Background(), "sh", append([]string{"-c", inside, "sh", r.dir}, words...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	return cmd
}

// run runs a program inside to its end and returns what it printed.
func (r *root) run(words ...string) string {
	r.t.Helper()
	out, err := r.command(words...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

// install brings a package in, as a new one or in place of an older one.
func (r *root) install(deb string) {
	r.t.Helper()
	runIn(r.t, ".", "cp", deb, filepath.Join(r.dir, "tmp/new.deb"))
	r.run("dpkg", "--install", "/tmp/new.deb")
	r.remove("tmp/new.deb")
}

func (r *root) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r *root) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *root) remove(name string) {
	r.t.Helper()
	if err := os.Remove(filepath.Join(r.dir, name)); err != nil {
		r.t.Fatal(err)
	}
}

// files lists what is inside, but for dpkg's own notes.
func (r *root) files() []string {
	r.t.Helper()
	var found []string
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(r.dir, path)
		switch {
		case err != nil:
			return err
		case slices.Contains([]string{"proc", "dev", "var/lib/dpkg", "var/log", "var/cache"}, name):
			return fs.SkipDir
		}
		found = append(found, name)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

// serve starts the unit's command line as systemd would: with the folders that the unit
// names, as a user without rights but for the capabilities of the unit.
func (r *root) serve() *dhcptest.Process {
	r.t.Helper()
	unit := r.unit()
	for key, folder := range map[string]string{"StateDirectory": "var/lib", "LogsDirectory": "var/log", "RuntimeDirectory": "run"} {
		r.run("install", "-d", "-o", user, "-g", user, filepath.Join("/", folder, unit[key]))
	}
	rights := "-all"
	for _, name := range strings.Fields(unit["AmbientCapabilities"]) {
		rights += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	words := []string{
		"setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs",
		"--bounding-set", rights, "--inh-caps", rights, "--ambient-caps", rights,
	}
	return dhcptest.StartProcess(r.t, "coredhcp", r.command(append(words, strings.Fields(unit["ExecStart"])...)...))
}

// unit is what the unit says in its section Service, the last value of each key.
func (r *root) unit() map[string]string {
	r.t.Helper()
	found := make(map[string]string)
	for line := range strings.Lines(r.read(unitFile)) {
		if key, value, is := strings.Cut(strings.TrimSpace(line), "="); is {
			found[key] = value
		}
	}
	return found
}

// runIn returns what a program prints. Its failure ends the test.
func runIn(t *testing.T, dir, name string, words ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, words...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(words, " "), err, out)
	}
	return string(out)
}

func abs(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// artifact is the one file of dist/ that matches.
func artifact(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("../../dist", pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("dist/%s: found %v, %v; want one: make snapshot", pattern, found, err)
	}
	return abs(t, found[0])
}

// listens waits until a process serves.
func listens(p *dhcptest.Process) {
	p.WaitLog(`(?i)listen.*:67`, time.Minute)
}
