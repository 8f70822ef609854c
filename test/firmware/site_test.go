//go:build firmware

package firmware

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	gocmp "github.com/google/go-cmp/cmp"
)

// scriptsEnv names the folder of boot scripts to a child of this test binary
// that stands for the boot script service.
const scriptsEnv = "CORESMD_TEST_SCRIPTS"

func TestMain(m *testing.M) {
	if folder := os.Getenv(scriptsEnv); folder != "" {
		fmt.Println(serveScripts(folder))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serveScripts stands for the boot script service: a machine's script is the
// file by its MAC address. A line is printed for each request.
func serveScripts(folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	http.HandleFunc("GET /boot/v1/bootscript", func(w http.ResponseWriter, r *http.Request) {
		script, err := root.ReadFile(r.URL.Query().Get("mac"))
		fmt.Printf("script of %s for %s: %s: %v\n", r.URL.Query().Get("mac"), r.RemoteAddr, r.RequestURI, err)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(script)
	})
	return http.ListenAndServe(":8081", nil)
}

var serverIP = netip.MustParseAddr("192.0.2.1")

// site is a DHCP server with its inventory in a folder and the boot script
// service beside it, on a wire that machines are plugged into.
type site struct {
	t         *testing.T
	net       *dhcptest.Net
	lan       *dhcptest.Wire
	server    *dhcptest.Namespace
	dhcp, bss *dhcptest.Process
	inventory string // folder
	source    string // what svc_base_uri says; empty: the folder
	scripts   string // folder
	tftp      string // folder with the loaders
}

// newSite makes a site whose inventory is empty.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, net: dhcptest.NewNet(t), inventory: dhcptest.Inventory(t, "[]", `{"Components":[]}`), scripts: t.TempDir(), tftp: t.TempDir()}
	s.lan = s.net.Wire("lan")
	s.server = s.net.Namespace("server")
	s.server.Attach(s.lan, "eth0", dhcptest.MAC(0x100), netip.PrefixFrom(serverIP, 24))
	return s
}

// serve starts the two servers. The words are added to the coresmd directive.
func (s *site) serve(words ...string) {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	service := s.server.Command(context.Background(), self)
	service.Env = append(os.Environ(), scriptsEnv+"="+s.scripts)
	s.bss = dhcptest.StartProcess(s.t, "boot script service", service)
	source := cmp.Or(s.source, "file://"+s.inventory)
	words = append([]string{"svc_base_uri=" + source, "ipxe_base_uri=http://192.0.2.1:8081", "cache_valid=1s", "tftp_dir=" + s.tftp}, words...)
	s.dhcp = dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(s.t), `server4:
  listen:
    - "%eth0"
  plugins:
    - server_id: 192.0.2.1
    - router: 192.0.2.254
    - netmask: 255.255.255.0
    - coresmd: `+strings.Join(words, " ")+`
    - bootloop: lease_file=`+filepath.Join(s.t.TempDir(), "leases.db")+` lease_time=5m ipv4_start=192.0.2.200 ipv4_end=192.0.2.220
`)
}

// marker is what the script of a machine prints when it runs.
func marker(mac net.HardwareAddr) string { return "BOOTED " + mac.String() }

// addNode puts a node into the inventory, in place of what was there.
func (s *site) addNode(mac net.HardwareAddr, addr string) {
	s.t.Helper()
	interfaces, err := json.Marshal([]map[string]any{{
		"ID": strings.ReplaceAll(mac.String(), ":", ""), "MACAddress": mac.String(), "ComponentID": "x3000c0s1b0n0", "Type": "Node",
		"IPAddresses": []map[string]string{{"IPAddress": addr}},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	dhcptest.WriteInventory(s.t, s.inventory, string(interfaces),
		`{"Components":[{"ID":"x3000c0s1b0n0","Type":"Node","State":"Ready","Enabled":true,"NID":1,"Role":"Compute"}]}`)
}

// off prints a machine's marker and switches it off. Debian's iPXE has no
// poweroff; a machine with -no-reboot ends when it reboots.
func off(mac net.HardwareAddr) string { return "echo " + marker(mac) + "\npoweroff || reboot" }

// addScript gives a machine its boot script.
func (s *site) addScript(mac net.HardwareAddr, lines string) {
	s.t.Helper()
	text := "#!ipxe\n" + lines + "\n"
	if err := os.WriteFile(filepath.Join(s.scripts, mac.String()), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// noScript takes a machine's boot script away.
func (s *site) noScript(mac net.HardwareAddr) {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.scripts, mac.String())); err != nil {
		s.t.Fatal(err)
	}
}

// addLoader puts a file of one of Debian's packages into the TFTP folder.
func (s *site) addLoader(name, from string) {
	s.t.Helper()
	copyFile(s.t, filepath.Join(s.tftp, name), from, "ipxe")
}

// copyFile copies a file of a Debian package.
func copyFile(t *testing.T, to, from, pkg string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatalf("%v: apt-get install %s", err, pkg)
	}
	if err := os.WriteFile(to, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// asked waits until the boot script service has been asked for a machine's script.
func (s *site) asked(m *machine, timeout time.Duration) {
	s.t.Helper()
	s.bss.WaitLog("(?m)^script of "+m.mac.String()+" ", timeout)
}

// booted waits until a machine has run its script, which it got for its own MAC
// address, and has switched itself off.
func (s *site) booted(m *machine, timeout time.Duration) {
	s.t.Helper()
	m.waitConsole(marker(m.mac), timeout)
	if want := "script of " + m.mac.String() + " "; !strings.Contains(s.bss.Log(), want) {
		s.t.Errorf("the boot script service was not asked for %q but:\n%s", want, s.bss.Log())
	}
	if err := m.Wait(20 * time.Second); err != nil {
		s.t.Errorf("qemu: %v", err)
	}
}

// ack is a lease as the server's log tells of it.
type ack struct{ Addr, BootFile string }

// reply matches the line of a reply.
var reply = regexp.MustCompile(`(?m)^.* msg=(OFFER|ACK|NAK)( .*)$`)

// field returns the value of a field of a log line.
func field(line, name string) string {
	m := regexp.MustCompile(` ` + name + `=(?:"([^"]*)"|(\S+))`).FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}

// handshakes compares the leases that the server acknowledged, equal ones in a
// row taken together, and reports every handshake that did not end in one ACK.
func (s *site) handshakes(want ...ack) {
	s.t.Helper()
	var got []ack
	acks := map[string]int{} // by transaction
	for _, line := range reply.FindAllStringSubmatch(s.dhcp.Log(), -1) {
		xid := field(line[2], "xid")
		switch line[1] {
		case "OFFER":
			acks[xid] += 0
		case "NAK":
			s.t.Errorf("a NAK: %s", line[0])
		case "ACK":
			acks[xid]++
			got = append(got, ack{field(line[2], "ip"), field(line[2], "bootfile")})
		}
	}
	for xid, n := range acks {
		if n != 1 {
			s.t.Errorf("transaction %s has %d ACKs", xid, n)
		}
	}
	if diff := gocmp.Diff(want, slices.Compact(got)); diff != "" {
		s.t.Errorf("leases (-want +got):\n%s", diff)
	}
}

// scriptOf is the boot file of a known machine that runs iPXE.
func scriptOf(mac net.HardwareAddr) string {
	return "http://192.0.2.1:8081/boot/v1/bootscript?mac=" + mac.String()
}
