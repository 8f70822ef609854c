//go:build container

package container

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

const (
	image = "coresmd:latest"
	base  = "coresmd-builder:base"

	// baseArchive is a root file system with apt and Go, see the Makefile.
	baseArchive = "../../build/builder-base.tar.gz"

	// dataEnv names a folder where the engine keeps its layers from one run to the next.
	dataEnv = "CORESMD_TEST_DOCKER"

	// limit is the size of the image without loaders.
	limit = 60_000_000
)

var serverIP = netip.MustParseAddr("192.0.2.1")

// The image is built, is small, says what it is, and serves as root and as a user without
// rights, with the capabilities and the file system that deployments give it.
func TestImage(t *testing.T) {
	data := os.Getenv(dataEnv)
	if data == "" {
		data = t.TempDir()
	}
	built := startEngine(t, data, nil)
	build(t, built)
	t.Run("described", func(t *testing.T) { described(t, built) })
	built.stop()

	s := newSite(t)
	e := startEngine(t, data, s.server)
	t.Run("root", func(t *testing.T) {
		serves(t, s, e, 1, []string{"--security-opt", "no-new-privileges"})
	})
	t.Run("user", func(t *testing.T) {
		serves(t, s, e, 2, []string{"--user", "coredhcp"})
	})
	t.Run("plain", func(t *testing.T) { plain(t, s, e) })
}

// build makes the image as the README says, with a base of our own and where modules come from.
func build(t *testing.T, e *engine) {
	t.Helper()
	e.load(baseArchive, base, "ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ENV GOTOOLCHAIN=local")
	words := []string{
		"build", "../..", "--tag", image, "--network", "host", "--build-arg", "BUILDER_BASE=" + base,
		"--build-arg", "BUILD_VERSION=v1.2.3", "--build-arg", "BUILD_COMMIT=0123abc", "--build-arg", "BUILD_TIME=2026-01-02T03:04:05Z",
	}
	for _, name := range []string{"GOPROXY", "GOSUMDB", "GOFLAGS"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, "--build-arg", name+"="+strings.TrimSpace(string(value)))
	}
	e.docker(words...)
}

// inspected is what is asked of an image.
type inspected struct {
	Size   int64
	Config struct {
		Cmd, Entrypoint, Env []string
		User                 string
		Labels               map[string]string
		Healthcheck          struct{ Test []string }
	}
}

func described(t *testing.T, e *engine) {
	var i inspected
	if err := json.Unmarshal([]byte(e.docker("image", "inspect", "--format", "{{json .}}", image)), &i); err != nil {
		t.Fatal(err)
	}
	run := func(words ...string) string {
		return e.docker(append([]string{"run", "--rm", "--network", "host", image}, words...)...)
	}
	var loaders int64
	for _, size := range strings.Fields(run("sh", "-c", "stat -c %s /tftpboot/*")) {
		var n int64
		fmt.Sscan(size, &n)
		loaders += n
	}
	t.Logf("%d octets, %d of them loaders", i.Size, loaders)
	if got := i.Size - loaders; got > limit || loaders == 0 {
		t.Errorf("%d octets without %d of loaders, want at most %d", got, loaders, limit)
	}
	const label = "org.opencontainers.image."
	if diff := cmp.Diff(map[string]string{
		label + "title": "coresmd", label + "description": "CoreDHCP with the plugins coresmd and bootloop, for OpenCHAMI",
		label + "source": "https://github.com/OpenCHAMI/coresmd", label + "vendor": "OpenCHAMI", label + "licenses": "MIT",
		label + "documentation": "https://github.com/OpenCHAMI/coresmd/blob/main/docs/install.md",
		label + "version":       "v1.2.3", label + "revision": "0123abc", label + "created": "2026-01-02T03:04:05Z",
	}, i.Config.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if len(i.Config.Entrypoint) != 0 || !slices.Equal(i.Config.Cmd, []string{"/coredhcp"}) || i.Config.User != "" {
		t.Errorf("entry point %q, command %q, user %q; want none, /coredhcp, none", i.Config.Entrypoint, i.Config.Cmd, i.Config.User)
	}
	if want := []string{"ipxe-arm64.efi", "ipxe-loong64.efi", "ipxe-riscv64.efi", "ipxe-x86_64.efi", "loaders.txt", "undionly.kpxe"}; !slices.Equal(strings.Fields(run("ls", "/tftpboot")), want) {
		t.Errorf("/tftpboot has %s, want %v", run("ls", "/tftpboot"), want)
	}
	for _, licence := range []string{"coresmd/LICENSE", "busybox/copyright", "curl/copyright", "glibc/copyright", "go/LICENSE", "ipxe/copyright", "openssl/copyright", "modules/github.com/coredhcp/coredhcp/LICENSE", "versions.txt"} {
		run("test", "-s", "/usr/share/licenses/"+licence)
	}
	if got := run("/coredhcp", "--plugins"); !strings.Contains(got, "\nbootloop\n") && !strings.HasPrefix(got, "bootloop\n") {
		t.Errorf("--plugins prints %s", got)
	}
}

// contained is how deployments run it: these capabilities, and only /tmp can be written.
func contained(config string) []string {
	return []string{
		"--health-interval", "1s", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW", "--cap-add", "NET_BIND_SERVICE",
		"--volume", config + ":/etc/coredhcp/config.yaml:ro",
	}
}

// serves runs the image and has a known machine and a stranger get their leases. The health
// checks are those of deployed units and pods, as they are written there.
func serves(t *testing.T, s *site, e *engine, n int, flags []string) {
	known := netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + n)})
	s.addNode(n, known.String())
	e = &engine{t, e.client, e.socket, e.proc}
	c := e.start("coresmd", append(contained(s.config), flags...), "/coredhcp", "-L", "debug")
	c.waitLog("listening on udp4 [0.0.0.0]:67")

	got := dhcptest.Udhcpc(s.host(n), "eth0", dhcptest.ClientOptions{})
	want := dhcptest.Bound{
		Addr: netip.PrefixFrom(known, 24), Routers: []netip.Addr{netip.MustParseAddr("192.0.2.254")}, Hostname: fmt.Sprintf("nid%04d", n),
		LeaseTime: time.Hour, T1: 30 * time.Minute, T2: 52*time.Minute + 30*time.Second, ServerID: serverIP, NextServer: serverIP,
	}
	if diff := dhcptest.DiffBound(want, got); diff != "" {
		t.Errorf("lease (-want +got):\n%s", diff)
	}
	stranger := dhcptest.Udhcpc(s.host(0x80+n), "eth0", dhcptest.ClientOptions{})
	if !netip.MustParsePrefix("192.0.2.200/29").Contains(stranger.Addr.Addr()) {
		t.Errorf("a stranger got %v, want an address of the pool", stranger.Addr)
	}

	if got, want := c.exec("/bin/sh", "-c", "dhcping -c 192.0.2.1 -s 192.0.2.1 -h 00:00:00:00:00:00"), "Got answer from: 192.0.2.1"; got != want {
		t.Errorf("dhcping printed %q, want %q", got, want)
	}
	if got, want := c.exec("/coresmd", "health"), "status listener http://127.0.0.1:6767: answers\nDHCP 192.0.2.1: answers"; got != want {
		t.Errorf("coresmd health printed %q, want %q", got, want)
	}
	dhcptest.Eventually(t, time.Minute, func() error {
		if got := e.docker("inspect", "--format", "{{.State.Health.Status}}", c.name); got != "healthy" {
			return fmt.Errorf("the engine says %s", got)
		}
		return nil
	})
	if got := c.exec("pgrep", "coredhcp"); got != "1" {
		t.Errorf("pgrep printed %q, want 1", got)
	}
	if got := c.exec("curl", "-fsS", "http://127.0.0.1:6767/healthz"); got != "ok" {
		t.Errorf("curl printed %q, want ok", got)
	}
	if got := c.exec("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://localhost:6767/nothing"); got != "404" {
		t.Errorf("curl printed %q, want 404", got)
	}
	if got := c.fails("dhcping", "-t", "1", "-c", "192.0.2.9", "-s", "192.0.2.9"); got != 1 {
		t.Errorf("dhcping of an address without a server ended with %d, want 1", got)
	}
}

// plain is the one line of the README: nothing but a configuration and the host's network.
func plain(t *testing.T, s *site, e *engine) {
	e = &engine{t, e.client, e.socket, e.proc}
	c := e.start("plain", []string{"--volume", s.config + ":/etc/coredhcp/config.yaml:ro"})
	c.waitLog("listening on udp4 [0.0.0.0]:67")
	got := dhcptest.Udhcpc(s.host(0x90), "eth0", dhcptest.ClientOptions{})
	if got.ServerID != serverIP {
		t.Errorf("got %+v, want a lease of %s", got, serverIP)
	}
}

// site is the server's host, beside an SMD, on a wire that clients are plugged into.
type site struct {
	t      *testing.T
	net    *dhcptest.Net
	lan    *dhcptest.Wire
	server *dhcptest.Namespace
	smd    *dhcptest.SMDServer
	config string // file name
}

// newSite makes a site and a configuration for it.
func newSite(t *testing.T) *site {
	t.Helper()
	pg, err := dhcptest.NewPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t, net: dhcptest.NewNet(t), config: filepath.Join(t.TempDir(), "config.yaml")}
	s.lan = s.net.Wire("lan")
	s.server = s.net.Namespace("server")
	s.server.Attach(s.lan, "eth0", dhcptest.MAC(0x100), netip.PrefixFrom(serverIP, 24))
	s.smd = dhcptest.StartSMD(t, pg, dhcptest.SMDOptions{Namespace: s.server})
	text := `server4:
  plugins:
    - server_id: 192.0.2.1
    - router: 192.0.2.254
    - netmask: 255.255.255.0
    - coresmd: svc_base_uri=` + s.smd.URL() + ` ipxe_base_uri=http://192.0.2.1:8081 cache_valid=1s lease_time=1h http_addr=127.0.0.1:6767 rule=hostname:nid{04d}
    - bootloop: lease_file=/tmp/coredhcp.db ipv4_start=192.0.2.200 ipv4_end=192.0.2.207 lease_time=5m
`
	if err := os.WriteFile(s.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// addNode tells SMD of a node with NID n, MAC n and this address.
func (s *site) addNode(n int, addr string) {
	id := fmt.Sprintf("x3000c0s%db0n0", n)
	s.smd.PostComponents(dhcptest.Component{ID: id, State: "Ready", Type: "Node", NID: n, Role: "Compute"})
	s.smd.PostInterfaces(dhcptest.Interface{MAC: dhcptest.MAC(n).String(), ComponentID: id, Addresses: dhcptest.IPs(addr)})
}

// host plugs a client's machine into the lan.
func (s *site) host(mac int) *dhcptest.Namespace {
	s.t.Helper()
	ns := s.net.Namespace(fmt.Sprintf("host%x", mac))
	ns.Attach(s.lan, "eth0", dhcptest.MAC(mac))
	return ns
}
