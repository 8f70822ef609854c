package test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// takeTFTPPort has another program's socket on the server's TFTP port.
func (s *site) takeTFTPPort() {
	s.t.Helper()
	conn, err := s.server.ListenPacket("udp4", ":69")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
}

// A TFTP port that is taken refuses the start, with port and address in the error.
func TestTFTPPortTaken(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	s.takeTFTPPort()
	refused(t, s, s.config(s.words()), `:69\b`, `address already in use`)
}

// Sites of the five-word form have a TFTP server of their own: one warning, and the loader
// has the name that those sites know.
func TestFiveWordsTFTPPortTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	s.takeTFTPPort()
	dhcp := s.serve(`http://127.0.0.1:27779 http://192.0.2.1:8081 "" 1s 1h`)
	want := nodeLease(1, "192.0.2.11")
	want.File, want.BootFile = "ipxe.efi", "ipxe.efi"
	want.RootPath, want.TFTPServer = serverIP.String(), serverIP.String()
	compare(t, want, dhcptest.Udhcpc(s.host(1), "eth0", pxeClient))
	const warning = `level=warning.*:69\b`
	if n := countLines(dhcp.Log(), warning); n != 1 {
		t.Errorf("%d warnings of the TFTP port, want one:\n%s", n, grep(dhcp.Log(), warning))
	}
}

// The six-word form of earlier releases is served as ever.
func TestSixWords(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{TLS: true})
	s.addNode(1, "192.0.2.11")
	s.serve(fmt.Sprintf("%s http://192.0.2.1:8081 %s 1s 1h true", s.smd.URL(), s.smd.CAFile))
	node := s.host(1)
	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(node, "eth0", dhcptest.ClientOptions{}))
	if _, err := dhcptest.TFTPGet(node, serverIP, "reboot.ipxe"); err != nil {
		t.Error(err)
	}
}

// Two directives that say the same share one SMD client and one TFTP server.
func TestTwoDirectives(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	s.serve(s.words(), s.words())
	node := s.host(1)
	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(node, "eth0", dhcptest.ClientOptions{}))
	if _, err := dhcptest.TFTPGet(node, serverIP, "config.ipxe"); err != nil {
		t.Error(err)
	}
}

// Two directives that name different SMDs refuse the start, and both are named.
func TestTwoDirectivesDiffer(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	other := strings.Replace(s.words(), "127.0.0.1:27779", "127.0.0.1:27780", 1)
	refused(t, s, s.config(s.words(), other), `127\.0\.0\.1:27779`, `127\.0\.0\.1:27780`)
}

// Mistakes in a directive refuse the start and are named.
func TestMistakes(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const start = "svc_base_uri=http://127.0.0.1:27779 ipxe_base_uri=http://192.0.2.1:8081 tftp=off "
	tests := map[string]struct {
		words string
		want  []string
	}{
		"CA file missing":          {words: start + "ca_cert=/nonexistent/ca.pem", want: []string{`ca_cert`, `/nonexistent/ca\.pem`}},
		"CA file without any":      {words: start + "ca_cert=" + empty, want: []string{`ca_cert`, regexp.QuoteMeta(empty)}},
		"lease time of nothing":    {words: start + "lease_time=0", want: []string{`lease_time`}},
		"lease time below nothing": {words: start + "lease_time=-1h", want: []string{`lease_time`, `-1h`}},
		"cache validity 0":         {words: start + "cache_valid=0s", want: []string{`cache_valid`}},
		"scheme":                   {words: "svc_base_uri=ftp://127.0.0.1 ipxe_base_uri=http://192.0.2.1:8081", want: []string{`svc_base_uri`, `ftp://127\.0\.0\.1`}},
		"unknown key":              {words: start + "colour=red", want: []string{`colour`}},
		"key twice":                {words: start + "lease_time=1h lease_time=2h", want: []string{`lease_time`}},
		"all at once":              {words: start + "lease_time=soon cache_valid=later colour=red", want: []string{`soon`, `later`, `colour`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { refused(t, s, s.config(tt.words), tt.want...) })
	}
}

// refused starts the server and wants it to end with an error that matches every
// expression.
func refused(t *testing.T, s *site, config string, exprs ...string) {
	t.Helper()
	dhcp := dhcptest.LaunchCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), config)
	if err := dhcp.Wait(20 * time.Second); err == nil {
		t.Error("the server ended without an error")
	}
	said := regexp.MustCompile(`(?s)level=(error|fatal).*`).FindString(dhcp.Log()) // an error may take several lines
	for _, expr := range exprs {
		if !regexp.MustCompile(expr).MatchString(said) {
			t.Errorf("no error says %q, but:\n%s", expr, said)
		}
	}
}

// Without server_id before coresmd the server's own address stands in, and the log says so.
func TestNoServerID(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	text := strings.Replace(s.config(s.words()), "    - server_id: 192.0.2.1\n", "", 1)
	dhcp := dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), text)
	want := nodeLease(1, "192.0.2.11")
	want.NextServer = netip.Addr{}
	compare(t, want, dhcptest.Udhcpc(s.host(1), "eth0", dhcptest.ClientOptions{}))
	const complaint = `level=error.*no server identifier: put server_id before coresmd; 192\.0\.2\.1 stands in`
	if n := countLines(dhcp.Log(), complaint); n != 1 {
		t.Errorf("%d complaints, want one:\n%s", n, dhcp.Log())
	}
}
