package server

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/config"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
)

// asks sets up who asks a chain, each plugin of which is a name and words.
func asks(t *testing.T, chain ...[]string) (*asking, *logtest.Hook) {
	t.Helper()
	c := &config.Config{Server4: &config.ServerConfig{}}
	for _, d := range chain {
		c.Server4.Plugins = append(c.Server4.Plugins, config.PluginConfig{Name: d[0], Args: d[1:]})
	}
	logger, hook := logtest.NewNullLogger()
	a, err := newAsking(c, process.New(), logrus.NewEntry(logger))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(a.folder); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", a.folder, err)
		}
	})
	return a, hook
}

// said is an answer in short.
func said(a compare.Answer) string {
	text := "no reply"
	if a.V4 != nil {
		text = a.V4.MessageType().String() + " of " + a.V4.YourIPAddr.String()
	}
	return text + " by " + a.Plugin + " " + a.Reason
}

// range leases addresses in a copy of its file, and a RELEASE gives none back. A plugin
// that only waits is left out.
func TestAskingRange(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "leases.db")
	words := []string{"range", file, "192.0.2.200", "192.0.2.220", "1h"}
	before, _ := asks(t, words) // makes a file of its own: there is none yet
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Fatalf("the file was made: %v", err)
	}
	holder := dhcptest.Request4(t, dhcptest.MAC(1).String(), dhcpv4.MessageTypeRequest)
	if got := said(before.Ask4(holder, &compare.Datagram{})); got != "ACK of 192.0.2.200 by  " {
		t.Errorf("first %q", got)
	}
	octets, err := os.ReadFile(filepath.Join(before.folder, "leases.db"))
	if err == nil {
		err = os.WriteFile(file, octets, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, _ := asks(t, []string{"sleep", "1h"}, []string{"server_id", "192.0.2.1"}, words)
	for _, c := range []struct {
		mac  int
		kind dhcpv4.MessageType
		want string
	}{
		{2, dhcpv4.MessageTypeDiscover, "OFFER of 192.0.2.201 by  "},
		{1, dhcpv4.MessageTypeRelease, "no reply by  "},
		{3, dhcpv4.MessageTypeDiscover, "OFFER of 192.0.2.202 by  "},
		{1, dhcpv4.MessageTypeDiscover, "OFFER of 192.0.2.200 by  "},
	} {
		began := time.Now()
		if got := said(a.Ask4(dhcptest.Request4(t, dhcptest.MAC(c.mac).String(), c.kind), &compare.Datagram{})); got != c.want || time.Since(began) > time.Minute {
			t.Errorf("%v of %d: %q after %v, want %q", c.kind, c.mac, got, time.Since(began), c.want)
		}
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(octets, after) {
		t.Errorf("the file has changed: %v", err)
	}
}

// A plugin that ends the chain without a reason is named, and one that breaks costs the
// request.
func TestAskingDecided(t *testing.T) {
	t.Parallel()
	a, hook := asks(t, []string{"breaking"}, []string{"answering", "192.0.2.11"})
	var got []string
	for range 3 {
		got = append(got, said(a.Ask4(dhcptest.Request4(t, dhcptest.MAC(1).String(), dhcpv4.MessageTypeDiscover), &compare.Datagram{})))
	}
	want := []string{"OFFER of 192.0.2.11 by answering ", "no reply by coredhcp a plugin broke", "OFFER of 192.0.2.11 by answering "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if e := hook.LastEntry(); e == nil || e.Data["panic"] != "the second request" {
		t.Errorf("logged %v", e)
	}
	nobody, _ := asks(t, []string{"server_id", "192.0.2.1"})
	if got := said(nobody.Ask4(dhcptest.Request4(t, dhcptest.MAC(1).String(), dhcpv4.MessageTypeDiscover), &compare.Datagram{})); got != "no reply by coredhcp no_address" {
		t.Errorf("of nobody %q", got)
	}
}

func TestAskingMistakes(t *testing.T) {
	t.Parallel()
	c := &config.Config{Server4: &config.ServerConfig{Plugins: []config.PluginConfig{{Name: "answering"}}}}
	_, err := newAsking(c, process.New(), logrus.NewEntry(logrus.New()))
	if err == nil || err.Error() != "answering: 0 words; wanted an address" {
		t.Errorf("%v", err)
	}
}
