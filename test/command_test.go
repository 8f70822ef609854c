package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// What unknown prints as YAML is edited as its help says and posted to SMD, as OpenCHAMI's own
// command does: a record at a time. The machines are known then.
func TestUnknownToSMD(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.serveChain("http_addr=" + statusAddr)
	wire := s.tester()
	wire.ask(7, discover, 2*time.Second, dhcptest.PXE(7))
	host := s.host(8)
	strange(t, dhcptest.Udhcpc(host, "eth0", dhcptest.ClientOptions{}))
	dhcptest.Eventually(t, takesUp, func() error {
		if out, _ := s.command("unknown"); !strings.Contains(out, mac(7)) || !strings.Contains(out, mac(8)) {
			return fmt.Errorf("heard: %s", out)
		}
		return nil
	})

	words := []string{"unknown", "--format", "yaml"}
	components, _ := s.command(append(words, "--components")...)
	interfaces, _ := s.command(words...)
	if _, err := s.post("State/Components", components); err == nil {
		t.Error("SMD took a component that was not edited")
	}
	edited := func(text string) string {
		text = strings.Replace(text, "XNAME-1", "x3000c0s8b0n0", 1)
		text = strings.Replace(text, "XNAME-2", "x3000c0s7b0n0", 1)
		text = strings.Replace(text, "ADDRESS", "192.0.2.18", 1)
		text = strings.Replace(text, "ADDRESS", "192.0.2.17", 1)
		return strings.Replace(text, "NUMBER", "7", 1)
	}
	if _, err := s.post("State/Components", edited(components)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.post("Inventory/EthernetInterfaces", edited(interfaces)); err != nil || n != 2 {
		t.Fatalf("%d interfaces: %v", n, err)
	}
	dhcptest.Eventually(t, takesUp, func() error {
		if out, _ := s.command("unknown"); out != "SMD knows every machine that was heard\n" {
			return fmt.Errorf("unknown: %s", out)
		}
		return nil
	})
	if got := wire.ask(7, discover, 2*time.Second); got != "OFFER 192.0.2.17" {
		t.Errorf("node 7: %s", got)
	}
	if got := dhcptest.Udhcpc(host, "eth0", dhcptest.ClientOptions{}).Addr.Addr().String(); got != "192.0.2.18" {
		t.Errorf("machine 8: %s", got)
	}
	if out, status := s.command("explain", "x3000c0s7b0n0", "--arch", "0"); status != 1 || !strings.HasPrefix(out, "error: loader undionly.kpxe is missing in ") {
		t.Errorf("explain: status %d\n%s", status, out)
	}
}

// serveChain starts the server with both plugins.
func (s *site) serveChain(more ...string) *dhcptest.Process {
	s.t.Helper()
	last := "bootloop: lease_file=" + filepath.Join(s.t.TempDir(), "leases.db") + " subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.220"
	dhcp := dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(s.t), s.chain(s.words(more...), last))
	s.ready("ok")
	return dhcp
}

// post posts YAML to SMD: an object, or the objects of a list one by one. It returns how many.
func (s *site) post(collection, text string) (int, error) {
	s.t.Helper()
	var document any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		s.t.Fatalf("%v\n%s", err, text)
	}
	records, isList := document.([]any)
	if !isList {
		records = []any{document}
	}
	client := http.Client{Transport: &http.Transport{DialContext: s.server.Dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for n, record := range records {
		body, err := json.Marshal(record)
		if err != nil {
			return n, err
		}
		resp, err := client.Post(s.smd.URL()+"/hsm/v2/"+collection, "application/json", bytes.NewReader(body))
		if err != nil {
			return n, err
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			return n, fmt.Errorf("%s: %s", resp.Status, answer)
		}
	}
	return len(records), nil
}

// What check calls an error keeps the server from starting, and what it calls none does not.
func TestCheckAgrees(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../cmd/coresmd/testdata/check/*.yaml")
	if err != nil || len(paths) < 10 {
		t.Fatal(paths, err)
	}
	s := newWiring(t)
	folder := t.TempDir()
	for _, name := range []string{"files", "empty"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// A server that lacks an interface does not start, but the file may be for another host.
		config := strings.NewReplacer("nowhere0", "eth0", "=leases.db", "="+folder+"/leases.db", ": leases.db", ": "+folder+"/leases.db",
			"=files", "="+folder+"/files", "=empty", "="+folder+"/empty").Replace(string(text))
		file := filepath.Join(folder, filepath.Base(path))
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		out, status := s.command("check", "-c", file)
		if starts := s.starts(config); starts != (status == 0) {
			t.Errorf("%s: the server starts: %v; check has status %d:\n%s", filepath.Base(path), starts, status, out)
		}
	}
}

// starts says whether the server starts with a configuration.
func (s *site) starts(config string) bool {
	s.t.Helper()
	dhcp := dhcptest.LaunchCoreDHCP(s.server, dhcptest.CoreDHCPBinary(s.t), config)
	defer dhcp.Stop()
	listens := false
	dhcptest.Eventually(s.t, 20*time.Second, func() error {
		listens = dhcp.Running() && s.server.ListensUDP(67)
		if dhcp.Running() && !listens {
			return fmt.Errorf("neither ended nor listens:\n%s", dhcp.Log())
		}
		return nil
	})
	return listens
}

// check reads the real SMD: addresses that lie in a pool, a certificate that nobody vouches for.
func TestCheckReadsSMD(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{TLS: true, Listen: "127.0.0.1:8443"})
	s.addNode(1, "192.0.2.11")
	s.addNode(2, "192.0.2.205")
	other := filepath.Join(t.TempDir(), "other.pem")
	dhcptest.NewAuthority(t, "other").WriteFile(other)
	ask := func(ca string) (string, int) {
		words := strings.Replace(s.words("ca_cert="+ca, "tftp=off"), "http://127.0.0.1:27779", s.smd.URL(), 1)
		file := filepath.Join(t.TempDir(), "config.yaml")
		last := "bootloop: lease_file=" + filepath.Join(t.TempDir(), "leases.db") + " subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.220"
		if err := os.WriteFile(file, []byte(s.chain(words, last)), 0o644); err != nil {
			t.Fatal(err)
		}
		out, status := s.command("check", "-c", file)
		return strings.ReplaceAll(out, file, "config.yaml"), status
	}
	for _, c := range []struct{ name, ca, want string }{
		{"address in a pool", s.smd.CAFile, `config.yaml:9:7: warning: server4 coresmd: SMD: x3000c0s2b0n0 02:00:00:00:00:02: address 192.0.2.205 is that of pool 192.0.2.200-192.0.2.220
0 errors, 1 warning in config.yaml
`},
		{"another authority", other, `config.yaml:9:7: warning: server4 coresmd: no inventory yet, machines of SMD are strangers until there is one: GET https://127.0.0.1:8443/hsm/v2/Inventory/EthernetInterfaces: tls: failed to verify certificate: x509: certificate signed by unknown authority
0 errors, 1 warning in config.yaml
`},
	} {
		out, status := ask(c.ca)
		if diff := cmp.Diff(c.want, out); diff != "" || status != 0 {
			t.Errorf("%s: status %d (-want +got):\n%s", c.name, status, diff)
		}
	}
}

// Of 100,000 machines one is explained within a second, the start of the command included. The
// quickest of a few runs counts: what it has to wait for others on this host is not its own.
func TestExplainLarge(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	var interfaces, components strings.Builder
	for i := range 100_000 {
		between := ","
		if i == 0 {
			between = ""
		}
		fmt.Fprintf(&components, `%s{"ID":"x%d","Type":"Node","NID":%d,"Role":"Compute","State":"Ready"}`, between, 100_000+i, i+1)
		fmt.Fprintf(&interfaces, `%s{"MACAddress":"02:02:00:%02x:%02x:%02x","ComponentID":"x%d","IPAddresses":[{"IPAddress":"10.%d.%d.%d"}]}`,
			between, i>>16, i>>8&0xff, i&0xff, 100_000+i, 1+i>>16, i>>8&0xff, i&0xff)
	}
	folder := dhcptest.Inventory(t, "["+interfaces.String()+"]", `{"Components":[`+components.String()+"]}")
	words := strings.Replace(s.words("http_addr="+statusAddr, "rule=type:Node,hostname:nid{06d}"), "http://127.0.0.1:27779", "file://"+folder, 1)
	dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), s.config(words))
	s.ready("ok")
	for _, word := range []string{"02:02:00:01:00:07", "x165543", "10.2.0.7", "nid065544"} {
		best := time.Hour
		for range 5 {
			began := time.Now()
			out, _ := s.command("explain", word)
			best = min(best, time.Since(began))
			if !strings.Contains(out, "machine    02:02:00:01:00:07, x165543, Node, NID 65544, Compute, state Ready\n") {
				t.Fatalf("%s:\n%s", word, out)
			}
		}
		t.Logf("%s: %v", word, best)
		if best > time.Second {
			t.Errorf("%s: %v, want a second at most", word, best)
		}
	}
}

// What lint says to type mends SMD: each line is given to a shell, the words in capitals put in.
func TestMends(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	s.addNode(2)
	s.addNode(3, "192.0.2.13")
	s.addNode(4, "192.0.2.13")
	s.addNode(5, "192.0.2.205")
	s.addNode(6, "999.1.2.3")
	s.smd.PostComponents(dhcptest.Component{ID: "x3000c0s7b0n0", State: "Ready", Type: "Node", NID: 1})
	s.smd.PostInterfaces(
		dhcptest.Interface{MAC: mac(7), ComponentID: "x3000c0s7b0n0", Addresses: dhcptest.IPs("192.0.2.17")},
		dhcptest.Interface{MAC: mac(8), ComponentID: "x3000c0s8b0n0", Addresses: dhcptest.IPs("192.0.2.18")},
		dhcptest.Interface{MAC: mac(9), Addresses: dhcptest.IPs("192.0.2.19")},
	)
	disabled := false
	s.smd.PostComponents(dhcptest.Component{ID: "x3000c0s9b0n0", State: "Ready", Type: "Node", NID: 9, Enabled: &disabled})
	s.serveChain("http_addr="+statusAddr, "respect_enabled=true", "subnet=192.0.2.0/24")
	var faults []status.Fault
	dhcptest.Eventually(t, takesUp, func() error { // what lies in a pool is known with the second poll
		if faults = s.faults(); len(faults) != 8 {
			return fmt.Errorf("%d faults: %+v", len(faults), faults)
		}
		return nil
	})
	kinds := make(map[string]int)
	for i, f := range faults {
		kinds[f.Kind]++
		s.shell(strings.NewReplacer("ADDRESS", fmt.Sprintf("192.0.2.%d", 100+i), "XNAME", "x3000c0s9b0n0", "NUMBER", fmt.Sprint(100+i)).Replace(f.Mend))
	}
	want := map[string]int{"address-missing": 2, "address-twice": 1, "address-reserved": 1, "address-invalid": 1, "nid-twice": 1, "component-missing": 2}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	dhcptest.Eventually(t, takesUp, func() error {
		if out, status := s.command("lint"); status != 0 || !strings.HasPrefix(out, "0 errors, 0 warnings in ") {
			return fmt.Errorf("status %d\n%s", status, out)
		}
		return nil
	})

	// A disabled component, and a stranger whose MAC is that of a silent machine but for one digit.
	s.mended("disabled", mac(9), "error: SMD says Enabled=false of ")
	s.tester().ask(0x101, discover, 2*time.Second)
	s.mended("wrong MAC", mac(0x101), "error: "+mac(0x101)+" is not in SMD; it differs in one digit from "+mac(1)+" of x3000c0s1b0n0, ")
	if out, _ := s.command("explain", mac(0x101)); !strings.Contains(out, "\naddresses  192.0.2.11") {
		t.Errorf("wrong MAC mended:\n%s", out)
	}
}

// mended has the first finding about a machine mended as it says.
func (s *site) mended(name, machine, want string) {
	s.t.Helper()
	out, _ := s.command("explain", machine)
	finding, rest, _ := strings.Cut(out, "\n")
	mend, _, _ := strings.Cut(rest, "\n")
	mend, is := strings.CutPrefix(strings.TrimSpace(mend), "mend: ")
	if !strings.HasPrefix(finding, want) || !is {
		s.t.Fatalf("%s:\n%s", name, out)
	}
	s.shell(mend)
	dhcptest.Eventually(s.t, takesUp, func() error {
		if out, _ := s.command("explain", machine); strings.HasPrefix(out, want) {
			return fmt.Errorf("%s:\n%s", name, out)
		}
		return nil
	})
}

// faults are those that lint lists.
func (s *site) faults() []status.Fault {
	s.t.Helper()
	out, _ := s.command("lint", "--format", "json")
	var answer status.Faults
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return answer.Faults
}

// shell has a line typed beside the server.
func (s *site) shell(line string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	out, err := s.server.Command(ctx, "sh", "-c", strings.ReplaceAll(line, "curl ", "curl -sS --fail-with-body ")).CombinedOutput()
	if err != nil {
		s.t.Errorf("%s: %v\n%s", line, err, out)
	}
}
