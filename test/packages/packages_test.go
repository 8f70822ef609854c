//go:build packages

package packages

import (
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

const (
	unitFile   = "usr/lib/systemd/system/coredhcp.service"
	configFile = "etc/coredhcp/config.yaml"
)

// The package comes onto a fresh Debian, serves by its unit's command line, takes the place of
// an older one with configuration and leases kept, and leaves nothing when it is purged.
func TestDeb(t *testing.T) {
	t.Parallel()
	deb := artifact(t, "coresmd_*_amd64.deb")
	net := dhcptest.NewNet(t)
	lan := net.Wire("lan")
	server := net.Namespace("server")
	server.Attach(lan, "eth0", dhcptest.MAC(0x100), netip.MustParsePrefix("192.0.2.1/24"))
	host := func(n int) *dhcptest.Namespace {
		ns := net.Namespace(fmt.Sprintf("host%d", n))
		ns.Attach(lan, "eth0", dhcptest.MAC(n))
		return ns
	}
	r := newRoot(t, server)
	before := r.files()

	r.install(older(t, deb))
	if diff := cmp.Diff(r.read("usr/share/coresmd/config.example.yaml"), r.read(configFile)); diff != "" {
		t.Errorf("the configuration that comes along is not the example:\n%s", diff)
	}
	const config = `server4:
  listen: ["%eth0"]
  plugins:
    - server_id: 192.0.2.1
    - netmask: 255.255.255.0
    - coresmd: svc_base_uri=file:///etc/coredhcp ipxe_base_uri=http://192.0.2.1:8081 tftp=off audit=/var/log/coredhcp/audit.log
    - bootloop: lease_file=/var/lib/coredhcp/leases.db subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.250 lease_time=1h
`
	r.write(configFile, config)
	r.write("etc/coredhcp/EthernetInterfaces.json", `[{"MACAddress":"02:00:00:00:00:01","ComponentID":"x3000c0s0b0n0","IPAddresses":[{"IPAddress":"192.0.2.11"}]}]`)
	r.write("etc/coredhcp/Components.json", `{"Components":[{"ID":"x3000c0s0b0n0","Type":"Node","NID":1}]}`)

	old := r.serve()
	listens(old)
	if got := dhcptest.Udhcpc(host(1), "eth0", dhcptest.ClientOptions{}).Addr.Addr(); got != netip.MustParseAddr("192.0.2.11") {
		t.Errorf("a machine of the inventory got %v, want 192.0.2.11", got)
	}
	for n := 2; n <= 4; n++ {
		dhcptest.Udhcpc(host(n), "eth0", dhcptest.ClientOptions{})
	}
	stranger := host(5)
	held := dhcptest.Udhcpc(stranger, "eth0", dhcptest.ClientOptions{})
	old.Stop()

	r.install(deb)
	if got := r.read(configFile); got != config {
		t.Errorf("the upgrade changed the configuration to\n%s", got)
	}
	next := r.serve()
	listens(next)
	// The lease is that of the client's MAC: it asks for nothing.
	if got := dhcptest.Udhcpc(stranger, "eth0", dhcptest.ClientOptions{}); got.Addr != held.Addr {
		t.Errorf("after the upgrade the stranger got %v, want %v as before", got.Addr, held.Addr)
	}
	next.Stop()

	checkManual(t, r)
	r.run("dpkg", "--remove", "coresmd")
	if got := r.read(configFile); got != config {
		t.Errorf("removal changed the configuration to\n%s", got)
	}
	r.read("var/lib/coredhcp/leases.db")
	r.remove("etc/coredhcp/EthernetInterfaces.json")
	r.remove("etc/coredhcp/Components.json")
	r.run("dpkg", "--purge", "coresmd")
	r.run("rmdir", "/run/coredhcp") // systemd's
	if diff := cmp.Diff(before, r.files()); diff != "" {
		t.Errorf("left by the purged package:\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "var/log/coredhcp")); !os.IsNotExist(err) {
		t.Errorf("the purged package left its log: %v", err)
	}
}

// older is the package with a lower version.
func older(t *testing.T, deb string) string {
	t.Helper()
	dir := t.TempDir()
	runIn(t, dir, "dpkg-deb", "--raw-extract", deb, "tree")
	runIn(t, dir, "sed", "-i", "s/^Version: .*/Version: 0.0.1/", "tree/DEBIAN/control")
	runIn(t, dir, "dpkg-deb", "--root-owner-group", "--build", "tree", "older.deb")
	return filepath.Join(dir, "older.deb")
}

// checkManual looks for what an administrator looks for.
func checkManual(t *testing.T, r *root) {
	t.Helper()
	for _, name := range []string{
		"usr/share/man/man1/coresmd.1", "usr/share/man/man1/coresmd-explain.1", "usr/share/bash-completion/completions/coresmd",
		"usr/share/zsh/vendor-completions/_coresmd", "usr/share/fish/vendor_completions.d/coresmd.fish",
		"usr/share/coresmd/grafana/coresmd.json", "usr/share/coresmd/prometheus/coresmd.rules.yaml",
		"usr/share/doc/coresmd/copyright", "usr/share/doc/coresmd/licences/github.com/coredhcp/coredhcp/LICENSE",
	} {
		if len(r.read(name)) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	if got := r.run("coredhcp", "--plugins"); !strings.Contains(got, "coresmd\n") {
		t.Errorf("coredhcp --plugins prints %s", got)
	}
}

// Both binaries say what they are: the values are those that the release was made with.
func TestVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	runIn(t, dir, "tar", "-xzf", artifact(t, "coresmd_*_linux_amd64.tar.gz"))
	commit := strings.TrimSpace(runIn(t, ".", "git", "rev-parse", "HEAD"))
	for _, words := range [][]string{{"coredhcp", "--version"}, {"coresmd", "version"}} {
		got := runIn(t, dir, filepath.Join(dir, words[0]), words[1:]...)
		for _, want := range []string{
			commit, commit[:7], strings.TrimSpace(runIn(t, ".", "go", "env", "GOVERSION")), strings.TrimSpace(runIn(t, ".", "uname", "-n")),
			strings.TrimSpace(runIn(t, ".", "id", "-un")), gitState(t),
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%v: no %q in\n%s", words, want, got)
			}
		}
	}
}

func gitState(t *testing.T) string {
	t.Helper()
	if runIn(t, ".", "git", "status", "--porcelain", "--untracked-files=no") == "" {
		return "clean"
	}
	return "dirty"
}

// The binaries for ARM64 are static and run.
func TestARM64(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	runIn(t, dir, "tar", "-xzf", artifact(t, "coresmd_*_linux_arm64.tar.gz"))
	emulator := dhcptest.Need(t, "qemu-aarch64", "qemu-user")
	for _, name := range []string{"coredhcp", "coresmd"} {
		f, err := elf.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != elf.EM_AARCH64 || slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			t.Errorf("%s is for %v, or not static", name, f.Machine)
		}
		f.Close()
	}
	if got := runIn(t, dir, emulator, filepath.Join(dir, "coredhcp"), "--plugins"); !strings.Contains(got, "coresmd\n") {
		t.Errorf("coredhcp --plugins prints %s", got)
	}
	if got := runIn(t, dir, emulator, filepath.Join(dir, "coresmd"), "version"); !strings.Contains(got, "version") {
		t.Errorf("coresmd version prints %s", got)
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	list := artifact(t, "checksums.txt")
	got := runIn(t, filepath.Dir(list), "sha256sum", "--check", "--strict", list)
	for _, kind := range []string{"_linux_amd64.tar.gz: OK", "_linux_arm64.tar.gz: OK", "_amd64.deb: OK", "_arm64.deb: OK", ".x86_64.rpm: OK", ".aarch64.rpm: OK", ".cdx.json: OK"} {
		if !strings.Contains(got, kind) {
			t.Errorf("no %q in\n%s", kind, got)
		}
	}
}

// The list of parts names every module that is linked, with its licence.
func TestPartsList(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"coredhcp", "coresmd"} {
		text, err := os.ReadFile(artifact(t, name+"_*_linux_amd64.cdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			BOMFormat  string
			Components []struct {
				Name, Version string
				Evidence      struct{ Licenses []any }
				Licenses      []any
			}
		}
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		info, err := buildinfo.ReadFile(artifact(t, name+"_linux_amd64_v1/"+name))
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, c := range list.Components {
			got = append(got, c.Name+" "+c.Version)
			if len(c.Licenses)+len(c.Evidence.Licenses) == 0 && c.Name != "std" {
				t.Errorf("%s: no licence of %s", name, c.Name)
			}
		}
		for _, dep := range info.Deps {
			want = append(want, dep.Path+" "+dep.Version)
		}
		want = append(want, "std "+info.GoVersion)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" || list.BOMFormat != "CycloneDX" {
			t.Errorf("%s, format %q (-want +got):\n%s", name, list.BOMFormat, diff)
		}
	}
}

// The unit is understood by systemd and lets the server do little.
func TestUnit(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	runIn(t, tree, "dpkg-deb", "--extract", artifact(t, "coresmd_*_amd64.deb"), ".")
	for _, target := range []string{"network-online.target", "sysinit.target", "basic.target", "shutdown.target", "multi-user.target"} {
		runIn(t, tree, "install", "-D", "/lib/systemd/system/"+target, "usr/lib/systemd/system/"+target)
	}
	runIn(t, tree, "install", "-D", "/bin/kill", "bin/kill")
	if out := runIn(t, tree, "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--root="+tree, "coredhcp.service"); out != "" {
		t.Errorf("systemd-analyze verify:\n%s", out)
	}
	out := runIn(t, tree, "systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=25", filepath.Join(tree, unitFile))
	t.Log(out[strings.LastIndex(out, "Overall"):])
}

// The package for RPM has the same files, and its configuration is not replaced.
func TestRPM(t *testing.T) {
	t.Parallel()
	rpm := artifact(t, "coresmd-*.x86_64.rpm")
	dhcptest.Need(t, "rpm", "rpm")
	var want []string
	for line := range strings.Lines(runIn(t, ".", "sh", "-c", `dpkg-deb --fsys-tarfile "$1" | tar -t`, "sh", artifact(t, "coresmd_*_amd64.deb"))) {
		if name := strings.TrimSpace(line); !strings.HasSuffix(name, "/") || name == "./tftpboot/" {
			want = append(want, strings.TrimSuffix(strings.TrimPrefix(name, "."), "/"))
		}
	}
	dir := t.TempDir()
	runIn(t, dir, "rpm", "--root", dir, "--initdb")
	runIn(t, dir, "rpm", "--root", dir, "--install", "--nodeps", "--noscripts", "--ignoreos", rpm)
	var got []string
	for _, name := range want {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			got = append(got, name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got := strings.TrimSpace(runIn(t, dir, "rpm", "--root", dir, "--query", "--configfiles", "coresmd")); got != "/"+configFile {
		t.Errorf("configuration files %q, want /%s", got, configFile)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "usr/bin/coredhcp"), "--plugins").Output(); err != nil || !strings.Contains(string(out), "coresmd\n") {
		t.Errorf("coredhcp --plugins: %v, %s", err, out)
	}
}
