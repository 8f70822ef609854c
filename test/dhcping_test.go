package test

import (
	"os/exec"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// dhcpingBinary is made by make build.
const dhcpingBinary = "../bin/dhcping"

// dhcping is answered on the server's own host, where deployed health checks call it, and
// from another one; the answer comes also when the server knows nobody.
func TestDhcping(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{Down: true})
	listening := "server4:\n  plugins:\n    - server_id: 192.0.2.1\n    - coresmd: " + s.words() + "\n"
	dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), listening)
	other := s.host(9)
	other.IP("addr", "add", "192.0.2.9/24", "dev", "eth0")

	tests := map[string]struct {
		from   *dhcptest.Namespace
		words  []string
		status int
		out    string
	}{
		"deployed": {s.server, []string{"-c", "192.0.2.1", "-s", "192.0.2.1", "-h", "00:00:00:00:00:00"}, 0, "Got answer from: 192.0.2.1\n"},
		"server only": {
			s.server,
			[]string{"-s", "192.0.2.1", "-v"},
			0,
			"Got answer from: 192.0.2.1\nNAK server is alive\n",
		},
		"quiet":         {s.server, []string{"-q", "-s", "192.0.2.1"}, 0, ""},
		"another host":  {other, []string{"-c", "192.0.2.1", "-s", "192.0.2.1", "-h", "02:00:00:00:00:09"}, 0, "Got answer from: 192.0.2.1\n"},
		"nobody there":  {s.server, []string{"-t", "0.5", "-s", "127.0.0.9"}, 1, "no answer\n"},
		"no way there":  {s.server, []string{"-s", "203.0.113.1"}, 1, "dhcping: asking 203.0.113.1: write udp4 0.0.0.0:68->203.0.113.1:67: sendto: network is unreachable\n"},
		"no server":     {s.server, []string{"-c", "192.0.2.1"}, 2, "dhcping: -s \"\": wanted the IPv4 address of the server\n"},
		"IPv6":          {s.server, []string{"-s", "2001:db8::1"}, 2, "dhcping: -s \"2001:db8::1\": wanted the IPv4 address of the server\n"},
		"InfiniBand":    {s.server, []string{"-s", "192.0.2.1", "-h", "00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01"}, 2, "dhcping: -h \"00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01\": wanted a MAC address of six octets\n"},
		"two questions": {s.server, []string{"-s", "192.0.2.1", "-i", "-r"}, 2, "dhcping: -i and -r together; wanted one of them\n"},
		"too much":      {s.server, []string{"-s", "192.0.2.1", "x"}, 2, "dhcping: \"x\" is too much; wanted flags only\n"},
		"no patience":   {s.server, []string{"-s", "192.0.2.1", "-t", "0"}, 2, "dhcping: -t 0s: wanted a number of seconds above 0\n"},
	}
	usage, err := exec.CommandContext(t.Context(), dhcpingBinary, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := test.from.Command(t.Context(), dhcpingBinary, test.words...).CombinedOutput()
			status := 0
			if err != nil {
				status = err.(*exec.ExitError).ExitCode()
			}
			want := test.out
			if test.status == 2 {
				want += string(usage)
			}
			if status != test.status || string(out) != want {
				t.Errorf("status %d, %q; want %d, %q", status, out, test.status, want)
			}
		})
	}
}
