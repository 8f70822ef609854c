package coresmd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
)

// rehearsing starts a plugin that rehearses and follows its inventory.
func rehearsing(t *testing.T, folder string, more ...string) (*service, *logtest.Hook) {
	t.Helper()
	c, err := parse(append([]string{"svc_base_uri=file://" + folder, "ipxe_base_uri=http://192.0.2.1:8081/", "server_addr6=2001:db8::a", "tftp_dir=" + t.TempDir()}, more...))
	if err != nil {
		t.Fatal(err)
	}
	logger, hook := logtest.NewNullLogger()
	logger.SetLevel(logrus.DebugLevel)
	p := process.New()
	t.Cleanup(p.Stop)
	p.Rehearse(process.Rehearsal{Follow: true})
	s, err := start(c, p, logrus.NewEntry(logger))
	if err != nil {
		t.Fatal(err)
	}
	return s, hook
}

// A plugin that rehearses answers as in service, and tells who asks why. It
// neither logs nor remembers that, and writes nothing.
func TestRehearsalAnswers(t *testing.T) {
	t.Parallel()
	folder := dhcptest.Inventory(t, testInterfaces, testComponents)
	files := t.TempDir()
	snapshot, audit := filepath.Join(files, "snapshot"), filepath.Join(files, "audit")
	s, hook := rehearsing(t, folder, "snapshot_file="+snapshot, "audit="+audit, "http_addr=127.0.0.1:6767")
	h := newHandler4(s)
	lines := len(hook.AllEntries())
	inService := known(t)
	for name, c := range map[string]struct {
		mac  string
		kind dhcpv4.MessageType
		with []dhcpv4.Modifier
		want string
	}{
		"known":          {node, discover, []dhcpv4.Modifier{pxe(7)}, "coresmd OFFER"},
		"wrong address":  {node, request, []dhcpv4.Modifier{requested("192.0.2.99")}, "coresmd NAK: not its address: 192.0.2.11 is"},
		"another server": {node, request, []dhcpv4.Modifier{requested("192.0.2.11"), serverID("192.0.2.9")}, "coresmd no reply: another server's: 192.0.2.9"},
		"unknown":        {strange, discover, nil, "coresmd passed on: unknown machine"},
		"released":       {node, release, []dhcpv4.Modifier{ciaddr("192.0.2.11")}, "coresmd no reply: release"},
	} {
		var said string
		from := process.Origin{Decided: func(plugin, verdict, reason string) { said = plugin + " " + verdict + prefixed(": ", reason) }}
		got, stop := dhcptest.Exchange4(t, dhcptest.Request4(t, c.mac, c.kind, c.with...), dhcptest.ServerID("192.0.2.1"), func(req, resp *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
			return h.Handle(req, resp, from)
		})
		want, wantStop := dhcptest.Exchange4(t, dhcptest.Request4(t, c.mac, c.kind, c.with...), dhcptest.ServerID("192.0.2.1"), inService.handle)
		if fmt.Sprint(got) != fmt.Sprint(want) || stop != wantStop {
			t.Errorf("%s: %v, %v; in service %v, %v", name, got, stop, want, wantStop)
		}
		if said != c.want {
			t.Errorf("%s: %q, want %q", name, said, c.want)
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

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func TestRehearsalAnswers6(t *testing.T) {
	t.Parallel()
	s, hook := rehearsing(t, dhcptest.Inventory(t, testInterfaces6, testComponents))
	h, inService := newHandler6(s), known6(t)
	lines := len(hook.AllEntries())
	var said string
	from := process.Origin{Decided: func(plugin, verdict, reason string) { said = plugin + " " + verdict + prefixed(": ", reason) }}
	for name, c := range map[string]struct {
		mac, want string
	}{"known": {node, "coresmd ADVERTISE"}, "unknown": {strange, "coresmd passed on: unknown machine"}} {
		req := dhcptest.Request6(t, c.mac, solicit, na(1))
		got, stop := dhcptest.Exchange6(t, req, dhcptest.ServerID6(we), func(req, resp dhcpv6.DHCPv6) (dhcpv6.DHCPv6, bool) { return h.Handle(req, resp, from) })
		want, wantStop := inService.ask(t, req, process.Origin{})
		if fmt.Sprint(got) != fmt.Sprint(want) || stop != wantStop {
			t.Errorf("%s: %v, %v; in service %v, %v", name, got, stop, want, wantStop)
		}
		if said != c.want {
			t.Errorf("%s: %q, want %q", name, said, c.want)
		}
	}
	if more := hook.AllEntries()[lines:]; len(more) > 0 {
		t.Errorf("logged: %v", more[0])
	}
}

// A rehearsal that follows its inventory knows a machine that is added to it.
func TestRehearsalFollows(t *testing.T) {
	t.Parallel()
	folder := dhcptest.Inventory(t, `[]`, `{"Components":[]}`)
	s, _ := rehearsing(t, folder, "cache_valid=1s")
	machines, ok := process.Find[process.Machines](s.process, process.PublishedMachines)
	if !ok {
		t.Fatal("no machines are published")
	}
	mac := [6]byte(dhcptest.MAC(1))
	if id := machines.ID(mac); id != "" {
		t.Errorf("known before: %s", id)
	}
	dhcptest.WriteInventory(t, folder, testInterfaces, testComponents)
	for wait := time.After(10 * time.Second); machines.ID(mac) == ""; {
		select {
		case <-wait:
			t.Fatal("not followed")
		case <-time.After(time.Millisecond):
		}
	}
	var ids []string
	machines.Each(func(id string) { ids = append(ids, id) })
	slices.Sort(ids)
	if got := slices.Compact(ids); !slices.Contains(got, "x3000c0s0b0n0") || machines.ID(mac) != "x3000c0s0b0n0" {
		t.Errorf("%v", got)
	}
}
