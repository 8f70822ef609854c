package test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// notRun are the first lines of blocks that no test can run.
var notRun = regexp.MustCompile(`^# (hardware|network|host): \S`)

// aBlock is a piece of a page between fences.
type aBlock struct {
	page, kind, text string
}

// pages are all pages with command lines.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../docs/*.md")
	if err != nil || len(found) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	return append(found, "../README.md", "../CONTRIBUTING.md")
}

var fences = regexp.MustCompile("(?ms)^(```|~~~) ?(\\w*)\n(.*?)^(?:```|~~~)$")

// blocksOf returns what stands between fences in a page.
func blocksOf(t *testing.T, page string) []aBlock {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var found []aBlock
	for _, m := range fences.FindAllStringSubmatch(string(text), -1) {
		found = append(found, aBlock{filepath.Base(page), m[2], m[3]})
	}
	return found
}

// Command lines in the documentation are run as they stand there, in a network namespace with
// a server that serves; make is only asked whether it knows the target. Whole configurations
// start a server.
func TestDocs(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.smd.PostComponents(dhcptest.Component{ID: "x3000c0s0b0n0", State: "Ready", Type: "Node", NID: 1, Role: "Compute"})
	s.smd.PostInterfaces(dhcptest.Interface{MAC: dhcptest.MAC(1).String(), ComponentID: "x3000c0s0b0n0", Addresses: dhcptest.IPs("192.0.2.11")})
	dir := t.TempDir()
	for _, loader := range []string{"undionly.kpxe", "ipxe-x86_64.efi"} {
		if err := os.WriteFile(filepath.Join(s.tftp, loader), []byte("loader"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.serveScript(dir)
	config := `server4:
  plugins:
    - server_id: 192.0.2.1
    - netmask: 255.255.255.0
    - router: 192.0.2.254
    - coresmd: ` + s.words("http_addr=127.0.0.1:6767", "record=1MiB", "snapshot_file="+dir+"/inventory.json") + `
    - bootloop: lease_file=` + dir + `/leases.db subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.250
`
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	server := dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), config)
	dhcptest.Eventually(t, 30*time.Second, func() error {
		return s.server.Command(t.Context(), "curl", "-fsS", "http://127.0.0.1:6767/readyz").Run()
	})
	dhcptest.Udhcpc(s.host(1), "eth0", dhcptest.ClientOptions{}) // explain wonders at a server that no machine asks

	ran := 0
	for _, page := range pages(t) {
		for _, b := range blocksOf(t, page) {
			if b.kind != "bash" || notRun.MatchString(b.text) || strings.HasPrefix(b.text, "git clone ") {
				continue // the clone is TestStockBuild's
			}
			ran++
			t.Run(b.page, func(t *testing.T) { runBlock(t, s, dir, b) })
		}
	}
	if ran < 10 {
		t.Errorf("%d blocks were run", ran)
	}
	server.Stop()
	for _, page := range []string{"../README.md", "../docs/operations.md"} {
		for _, b := range blocksOf(t, page) {
			if b.kind == "yaml" && strings.HasPrefix(b.text, "server4:") {
				t.Run(b.page+" configuration", func(t *testing.T) { startBlock(t, s, b) })
			}
		}
	}
}

// serveScript serves a boot script for all machines, and what it loads.
func (s *site) serveScript(dir string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "boot/v1"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	for name, text := range map[string]string{"boot/v1/bootscript": "#!ipxe\nkernel http://192.0.2.1:8081/vmlinuz\nboot\n", "vmlinuz": "kernel"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	dhcptest.StartProcess(s.t, "httpd", s.server.Command(context.Background(), "busybox", "httpd", "-f", "-p", "192.0.2.1:8081", "-h", dir))
}

// runBlock runs the lines of a block.
func runBlock(t *testing.T, s *site, dir string, b aBlock) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("/etc/coredhcp/", dir+"/", "/tmp/", dir+"/").Replace(b.text)
	script = regexp.MustCompile(`(?m)^make `).ReplaceAllString(script, "make --dry-run ")
	cmd := s.server.Command(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s\n%s", b.page, err, b.text, out)
	}
}

// startBlock starts a server on a configuration, which is as it stands there but for the
// places of SMD and of files.
func startBlock(t *testing.T, s *site, b aBlock) {
	config := strings.NewReplacer("https://smd.example.org", s.smd.URL(), "/var/lib/coredhcp/", t.TempDir()+"/").Replace(b.text)
	dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), config).Stop()
}

// The recipes are words of a directive that the server takes.
func TestRecipes(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	for _, b := range blocksOf(t, "../docs/hardware.md") {
		words := strings.Fields(b.text)
		t.Run(words[0], func(t *testing.T) {
			dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), s.config(s.words(words...))).Stop()
		})
	}
}

// What stands in place of an older configuration gives the same replies.
func TestUpgradeGuide(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	secure := dhcptest.StartSMD(t, database.get(t), dhcptest.SMDOptions{Namespace: s.server, Listen: "127.0.0.1:8443", TLS: true})
	shapeInventory(secure)
	clients := newShapeClients(s)
	var replies []string
	for _, b := range blocksOf(t, "../docs/upgrade.md") {
		if b.kind != "yaml" {
			continue
		}
		config := strings.NewReplacer("https://smd.example.org:8443", secure.URL(), "/root_ca/root_ca.crt", secure.CAFile,
			"/tmp/coredhcp.db", filepath.Join(t.TempDir(), "coredhcp.db"), "/tftpboot", s.tftp).Replace(b.text)
		server := dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), config)
		replies = append(replies, clients.replies(t))
		server.Stop()
	}
	if len(replies) != 4 {
		t.Fatalf("%d configurations, want two older ones, each with its new form", len(replies))
	}
	for i := 0; i < len(replies); i += 2 {
		if replies[i] != replies[i+1] {
			t.Errorf("the older form gives\n%s\nthe new one\n%s", replies[i], replies[i+1])
		}
	}
}

// A test that a page names is there, and so is a file that it links to.
func TestDocsPoint(t *testing.T) {
	t.Parallel()
	tests := make(map[string]bool)
	list := runIn(t, "..", "grep", "-rhoE", `^func (Test|Fuzz)\w+`, "--include=*_test.go", ".")
	for _, name := range strings.Fields(list) {
		tests[name] = true
	}
	named := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	links := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	for _, page := range append(pages(t), "../coresmd/README.md", "../bootloop/README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range named.FindAllString(string(text), -1) {
			if !tests[name] {
				t.Errorf("%s: there is no %s", page, name)
			}
		}
		for _, m := range links.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}
