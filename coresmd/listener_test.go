package coresmd

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

// TestListener has two directives of one process that share a listener, one
// that disagrees, and addresses that are taken.
func TestListener(t *testing.T) {
	t.Parallel()
	folder := dhcptest.Inventory(t, testInterfaces, testComponents)
	addr, socket := fmt.Sprint("127.0.0.1:", freeTCP(t)), filepath.Join(t.TempDir(), "s")
	words := fmt.Sprintf("svc_base_uri=file://%s ipxe_base_uri=http://bss tftp=off http_addr=%s http_socket=%s http_host=dhcp.example.org", folder, addr, socket)
	if _, err := try(t, words, words+" lease_time=5m"); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"": 200, "dhcp.example.org": 200, "evil.example.com": 421} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host %q: %d, want %d", host, resp.StatusCode, want)
		}
	}
	for directive, want := range map[string]string{
		words: "coresmd: http_addr: listen tcp " + addr + ": bind: address already in use",
		strings.Replace(words, "http_addr="+addr, "", 1): "coresmd: http_socket: listening on " + socket + ": address already in use",
		words + " ready_age=5m":                          "",
	} {
		directives := []string{directive}
		if want == "" {
			other := strings.NewReplacer(addr, fmt.Sprint("127.0.0.1:", freeTCP(t)), socket, socket+"2").Replace
			want = fmt.Sprintf("coresmd: status listener: two directives of one process differ: http_addr=%[1]s http_socket=%[2]s http_host=dhcp.example.org ready_age=10m0s, and http_addr=%[1]s http_socket=%[2]s http_host=dhcp.example.org ready_age=5m0s", other(addr), other(socket))
			directives = []string{other(words), other(directive)}
		}
		if _, err := try(t, directives...); err == nil || err.Error() != want {
			t.Errorf("%v\n, want %s", err, want)
		}
	}
}

// TestListenerMistakes has words that are wrong.
func TestListenerMistakes(t *testing.T) {
	t.Parallel()
	_, err := parse([]string{"svc_base_uri=http://smd", "ipxe_base_uri=http://bss", "http_addr=6767", "http_addr=127.0.0.1:x", "http_host=a:1", "ready_age=0s"})
	want := `coresmd directive:
argument 3 "http_addr=6767": http_addr: no address and port; wanted an address such as 127.0.0.1:6767
argument 4 "http_addr=127.0.0.1:x": http_addr is given twice
argument 5 "http_host=a:1": http_host: not a name without a port; wanted a name such as dhcp1.example.org
argument 6 "ready_age=0s": ready_age: too short; wanted a duration of at least 1s such as 30s, 5m or 1h`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAudit has a line for each lease given, renewed and refused, and none for
// health probes, strangers and silence.
func TestAudit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	b := known(t, "audit="+path, "rule=type:Node,hostname:n{04d},lease_time:2h")
	b.said(t, node, discover)
	b.said(t, node, request, serverID("192.0.2.1"), requested("192.0.2.11"), relay("192.0.2.254"), raw(82, 1, 4, 's', 'w', 'p', '1', 2, 2, 1, 255))
	b.said(t, node, request, ciaddr("192.0.2.11"))
	b.said(t, bmc, request, requested("192.0.2.110"))
	b.said(t, node, request, requested("192.0.2.99"))
	b.said(t, node, release, ciaddr("192.0.2.11"))
	b.said(t, node, inform, ciaddr("192.0.2.11"))
	b.said(t, "00:00:00:00:00:00", request, ciaddr("192.0.2.1"))
	b.said(t, strange, request, requested("192.0.2.99"))
	b.said(t, node, request, serverID("192.0.2.66"), requested("192.0.2.99"))
	b.p.Stop()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`"time":"[^"]*Z",`).ReplaceAllString(string(text), "")
	want := `{"event":"given","plugin":"coresmd","mac":"02:00:00:00:00:01","ip":"192.0.2.11","lease_seconds":7200,"id":"x3000c0s0b0n0","type":"Node","hostname":"n0001","giaddr":"192.0.2.254","circuit_id":"swp1","remote_id":"0x01ff","message":"REQUEST","state":"selecting","xid":"0xcafe0001"}
{"event":"renewed","plugin":"coresmd","mac":"02:00:00:00:00:01","ip":"192.0.2.11","lease_seconds":7200,"id":"x3000c0s0b0n0","type":"Node","hostname":"n0001","message":"REQUEST","state":"renewing","xid":"0xcafe0001"}
{"event":"given","plugin":"coresmd","mac":"02:00:00:00:00:10","ip":"192.0.2.110","lease_seconds":3600,"id":"x3000c0s0b0","type":"NodeBMC","hostname":"unknown-0001","message":"REQUEST","state":"init-reboot","xid":"0xcafe0001"}
{"event":"refused","plugin":"coresmd","mac":"02:00:00:00:00:01","ip":"192.0.2.99","id":"x3000c0s0b0n0","type":"Node","message":"REQUEST","state":"init-reboot","xid":"0xcafe0001","reason":"not its address: 192.0.2.11 is"}
{"event":"released","plugin":"coresmd","mac":"02:00:00:00:00:01","ip":"192.0.2.11","id":"x3000c0s0b0n0","type":"Node","message":"RELEASE","state":"release","xid":"0xcafe0001"}
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
