package bootloop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
)

// rehearsing starts a plugin that rehearses.
func rehearsing(t *testing.T, six bool, words string) (*service, *logtest.Hook) {
	t.Helper()
	c, err := parse(strings.Fields(words), six)
	if err != nil {
		t.Fatal(err)
	}
	logger, hook := logtest.NewNullLogger()
	logger.SetLevel(logrus.DebugLevel)
	p := process.New()
	t.Cleanup(p.Stop)
	p.Rehearse(process.Rehearsal{})
	s, err := start(c, p, logrus.NewEntry(logger))
	if err != nil {
		t.Fatal(err)
	}
	return s, hook
}

// A plugin that rehearses gives addresses that nobody holds, and tells why. It
// neither logs nor remembers that, and writes nothing.
func TestRehearsalAnswers(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	s, hook := rehearsing(t, false, "lease_file="+filepath.Join(files, "leases.db")+" audit="+filepath.Join(files, "audit")+
		" subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.209")
	h := newHandler4(s)
	lines := len(hook.AllEntries())
	for _, c := range []struct {
		name, mac string
		kind      dhcpv4.MessageType
		with      []dhcpv4.Modifier
		want      string
	}{
		{"offer", one, discover, nil, "OFFER 192.0.2.200, bootloop OFFER"},
		{"of an address that is free still", two, discover, nil, "OFFER 192.0.2.200, bootloop OFFER"},
		{"selecting", one, request, []dhcpv4.Modifier{requested("192.0.2.200"), server(self)}, "ACK 192.0.2.200, bootloop ACK"},
		{"an address of no pool", one, request, []dhcpv4.Modifier{requested("192.0.2.99"), server(self)}, "NAK 0.0.0.0, bootloop NAK: not the offered address, or the offer ended"},
		{"another server", one, request, []dhcpv4.Modifier{requested("192.0.2.200"), server("192.0.2.9")}, "silence, bootloop no reply: another server's: 192.0.2.9"},
		{"renewing", one, request, []dhcpv4.Modifier{ciaddr("192.0.2.200")}, "NAK 0.0.0.0, bootloop NAK: an address of a pool that this client has no lease of"},
		{"releasing", one, release, []dhcpv4.Modifier{ciaddr("192.0.2.200")}, "silence, bootloop no reply: release: not the holder"},
	} {
		var said string
		from := process.Origin{Decided: func(plugin, verdict, reason string) {
			said = strings.TrimSuffix(plugin+" "+verdict+": "+reason, ": ")
		}}
		reply, _ := dhcptest.Exchange4(t, dhcptest.Request4(t, c.mac, c.kind, c.with...), dhcptest.ServerID(self), func(req, resp *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
			return h.Handle(req, resp, from)
		})
		got := "silence"
		if reply != nil {
			got = reply.MessageType().String() + " " + reply.YourIPAddr.String()
		}
		if got += ", " + said; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for _, e := range hook.AllEntries()[lines:] {
		t.Errorf("logged: %v %v", e.Message, e.Data)
	}
	s.journal.Settle(t.Context())
	if m, heard := s.journal.Machine([6]byte(dhcptest.MAC(1))); heard {
		t.Errorf("remembered: %+v", m)
	}
	if left, err := os.ReadDir(files); err != nil || len(left) > 0 {
		t.Errorf("written: %v %v", left, err)
	}
}

func TestRehearsalAnswers6(t *testing.T) {
	t.Parallel()
	s, _ := rehearsing(t, true, "lease_file="+filepath.Join(t.TempDir(), "leases.db")+" subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1fff")
	h := newHandler6(s)
	we := dhcptest.LL("02:00:00:00:00:fe")
	for _, c := range []struct {
		name string
		kind dhcpv6.MessageType
		with []dhcpv6.Modifier
		want string
	}{
		{"solicit", dhcpv6.MessageTypeSolicit, nil, "ADVERTISE 2001:db8::1000, bootloop ADVERTISE"},
		{"request", dhcpv6.MessageTypeRequest, []dhcpv6.Modifier{dhcpv6.WithServerID(we)}, "REPLY 2001:db8::1000, bootloop REPLY"},
		{"another server", dhcpv6.MessageTypeRequest, []dhcpv6.Modifier{dhcpv6.WithServerID(dhcptest.LL("02:00:00:00:00:fd"))}, "silence, bootloop no reply: another server's: 00:03:00:01:02:00:00:00:00:fd"},
	} {
		var said string
		from := process.Origin{Decided: func(plugin, verdict, reason string) {
			said = strings.TrimSuffix(plugin+" "+verdict+": "+reason, ": ")
		}}
		req := dhcptest.Through(t, dhcptest.Request6(t, one, c.kind, append(c.with, dhcptest.NA(1))...), "2001:db8::1", "fe80::1")
		reply, _ := dhcptest.Exchange6(t, req, dhcptest.ServerID6(we), func(req, resp dhcpv6.DHCPv6) (dhcpv6.DHCPv6, bool) { return h.Handle(req, resp, from) })
		got := "silence"
		if reply != nil {
			m, err := reply.GetInnerMessage()
			if err != nil {
				t.Fatal(err)
			}
			got = m.MessageType.String() + " " + m.Options.OneIANA().Options.OneAddress().IPv6Addr.String()
		}
		if got += ", " + said; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
