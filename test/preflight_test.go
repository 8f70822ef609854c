package test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

// bootScripts answers for the boot script service and for the server of kernels, as what is asked
// for a machine by number says; without an entry all is there.
func (s *site) bootScripts(odd map[int]string) {
	s.t.Helper()
	l, err := s.server.Listen("192.0.2.1:8081")
	if err != nil {
		s.t.Fatal(err)
	}
	script := map[string]string{}
	for n, text := range odd {
		script[dhcptest.MAC(n).String()] = text
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /boot/v1/bootscript", func(w http.ResponseWriter, r *http.Request) {
		text, ok := script[r.URL.Query().Get("mac")]
		switch {
		case !ok:
			text = "#!ipxe\nkernel --name kernel http://192.0.2.1:8081/vmlinuz console=ttyS0 || goto retry\ninitrd http://192.0.2.1:8081/initrd.img || goto retry\nboot || goto retry\n:retry\nsleep 30\nchain http://192.0.2.1:8081/boot/v1/bootscript?retry=1\n"
		case text == "":
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, text)
	})
	mux.HandleFunc("HEAD /vmlinuz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("HEAD /initrd.img", func(http.ResponseWriter, *http.Request) {})
	service := http.Server{Handler: mux, ErrorLog: discard()}
	go func() { _ = service.Serve(l) }()
	s.t.Cleanup(func() { service.Close() })
}

// commandHere runs the command in the server's namespace.
func (s *site) commandHere(words ...string) (out string, status int) {
	s.t.Helper()
	root, err := dhcptest.RepoRoot()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := s.server.Command(ctx, filepath.Join(root, "bin", "coresmd"), words...)
	text, _ := cmd.CombinedOutput() // the status says how
	return string(text), cmd.ProcessState.ExitCode()
}

// Fifty machines, ten of which cannot boot, for ten different reasons: preflight finds the ten and
// no other, and each reason; by the running server and by its configuration.
func TestPreflight(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	for _, loader := range []string{"undionly.kpxe", "ipxe-x86_64.efi"} {
		if err := os.WriteFile(filepath.Join(s.tftp, loader), []byte("loader"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	disabled := false
	for n := 1; n <= 50; n++ {
		switch n {
		case 1:
			s.addNode(n)
		case 3:
			id := fmt.Sprintf("x3000c0s%db0n0", n)
			s.smd.PostComponents(dhcptest.Component{ID: id, State: "Ready", Type: "Node", NID: n, Enabled: &disabled})
			s.smd.PostInterfaces(dhcptest.Interface{MAC: dhcptest.MAC(n).String(), ComponentID: id, Addresses: dhcptest.IPs("192.0.2.13")})
		case 4:
			s.addNode(n, "203.0.113.14")
		case 40:
			s.addNode(n, "198.51.100.40") // of a network behind a relay: that is no fault
		default:
			s.addNode(n, fmt.Sprintf("192.0.2.%d", 10+n))
		}
	}
	s.bootScripts(map[int]string{
		7:  "",
		8:  "<html>log in first</html>",
		10: "#!ipxe\nkernel http://192.0.2.1:8082/vmlinuz\ninitrd http://192.0.2.1:8081/initrd.img\n",
		11: "#!ipxe\nset base http://192.0.2.1:8081\nkernel ${base}/vmlinuz\ninitrd ${base}/gone.img\n",
	})
	config := s.chain(s.words("http_addr="+statusAddr, "respect_enabled=true", "subnet=192.0.2.0/24", "subnet=198.51.100.0/24,router:198.51.100.1",
		"rule=name:hands-off,id:x3000c0s2b0n0,ignore:true", "rule=id:x3000c0s5b0n0,bootfile:none.efi,continue:true",
		"rule=id:x3000c0s6b0n0,next_server:192.0.2.77,continue:true", "rule=type:Node,hostname:nid{04d}"),
		"bootloop: lease_file="+t.TempDir()+"/leases.db subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.250")
	dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), config)
	s.ready("ok")
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, status := s.commandHere("preflight"); status != 2 || got != "coresmd: the server cannot tell what machines get: no packet came in yet: what plugins before coresmd put into the reply is not known; wanted a server that somebody has asked, or --config\n" {
		t.Errorf("a server that nobody has asked: %d %s", status, got)
	}
	s.tester().ask(12, discover, takesUp)
	state := filepath.Join(t.TempDir(), "state")
	for _, words := range [][]string{{"preflight", "--state", state}, {"preflight", "-c", file}} {
		got, status := s.commandHere(words...)
		if status != 1 {
			t.Errorf("%v: exit status %d", words, status)
		}
		dhcptest.Golden(t, "preflight", got)
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("the file of --state is left: %v", err)
	}
	if got, status := s.commandHere("preflight", "x3000c0s12b0n0", "192.0.2.23", "nid0040"); got != "3 machines tried, 0 will not boot\n" || status != 0 {
		t.Errorf("%d\n%s", status, got)
	}
	found := `{"mac":"` + dhcptest.MAC(12).String() + `","id":"x3000c0s12b0n0","problems":["found before"]}` + "\n"
	if err := os.WriteFile(state, []byte(found+`{"mac":"cut sho`), 0o644); err != nil {
		t.Fatal(err)
	}
	got, _ := s.commandHere("preflight", "--state", state, "x3000c0s12b0n0", "x3000c0s13b0n0")
	if diff := cmp.Diff("x3000c0s12b0n0 "+dhcptest.MAC(12).String()+"\n           found before\n2 machines tried, 1 will not boot\n", got); diff != "" {
		t.Errorf("goes on where a run was interrupted (-want +got):\n%s", diff)
	}
}
