package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/config"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/coredhcp/coredhcp/logger"
	"github.com/coredhcp/coredhcp/plugins"
	rangeplugin "github.com/coredhcp/coredhcp/plugins/range"
	"github.com/coredhcp/coredhcp/plugins/serverid"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/sirupsen/logrus"
)

// behaviour says what a successor of these tests does.
const behaviour = "TEST_SUCCESSOR"

// TestMain is the successor's program too.
func TestMain(m *testing.M) {
	for _, p := range []*plugins.Plugin{&answering, &breaking, &serverid.Plugin, &rangeplugin.Plugin} {
		if err := plugins.RegisterPlugin(p); err != nil {
			panic(err)
		}
	}
	if os.Getenv(heritageEnv) != "" {
		os.Exit(succeed(os.Getenv(behaviour)))
	}
	os.Exit(m.Run())
}

// answering offers the address of its directive.
var answering = plugins.Plugin{Name: "answering", Setup4: func(words ...string) (handler.Handler4, error) {
	if len(words) != 1 {
		return nil, fmt.Errorf("answering: %d words; wanted an address", len(words))
	}
	return func(_, resp *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
		resp.YourIPAddr = net.ParseIP(words[0])
		return resp, true
	}, nil
}}

// breaking panics at the second request.
var breaking = plugins.Plugin{Name: "breaking", Setup4: func(...string) (handler.Handler4, error) {
	asked := 0
	return func(_, resp *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
		if asked++; asked == 2 {
			panic("the second request")
		}
		return resp, false
	}, nil
}}

// succeed is a successor that fails in its own way.
func succeed(how string) int {
	h, err := inherit()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	word, when, _ := strings.Cut(how, " ")
	if when == "after all" { // that could go wrong before the hand-over
		if h.say(wordPrepared) != nil || h.hear(wordYours) != nil {
			return 1
		}
	}
	switch word {
	case "hangs":
		time.Sleep(time.Minute)
	case "talks":
		_ = h.say("hello")
		time.Sleep(time.Minute)
	case "refuses":
		_ = h.refuse(errors.New("lease file is in use"))
	case "closes":
		h.control.Close()
		time.Sleep(time.Minute)
	}
	return 3
}

// A living is a life in this process, and what its parts were told.
type living struct {
	*life
	conn net.Conn
	told []string
}

// live starts a life that answers on the loopback interface.
func startLife(t *testing.T, directive string) *living {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "config.yaml")
	text := "server4:\n  listen: 127.0.0.1:0\n  plugins:\n    - " + directive + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	logger.GetLogger("test").Logger.SetOutput(io.Discard)
	l := &living{life: newLife(options{conf: conf}, logrus.NewEntry(log), &output{})}
	l.process = process.New()
	l.args = []string{os.Args[0]}
	l.process.Hold(process.Stake{
		Yield:  func() error { l.told = append(l.told, "yield"); return nil },
		Resume: func() error { l.told = append(l.told, "resume"); return nil },
	})
	if err := l.start(); err != nil {
		t.Fatal(err)
	}
	l.conn = dial(t, l.loop.sockets[0])
	return l
}

// serves wants an offer of the address.
func (l *living) serves(t *testing.T, addr string) {
	t.Helper()
	send(t, l.conn, relayed(t, dhcpv4.MessageTypeDiscover, 1))
	if reply := receive(t, l.conn); reply.YourIPAddr.String() != addr {
		t.Errorf("%v, want an offer of %s", reply, addr)
	}
}

// Whatever becomes of a successor, the server goes on: with what it has given
// up taken back, where it had given up anything. Nothing is taken back while a
// successor lives.
func TestSuccessorFails(t *testing.T) {
	tests := map[string]struct {
		how  string
		want string
		told []string
	}{
		"ends":              {"ends", "the new process ended: exit status 3", nil},
		"ends after all":    {"ends after all", "the new process ended: exit status 3", []string{"yield", "resume"}},
		"refuses":           {"refuses", "lease file is in use", nil},
		"refuses after all": {"refuses after all", "lease file is in use", []string{"yield", "resume"}},
		"closes":            {"closes", `the new process said no more; wanted "prepared"`, nil},
		"closes after all":  {"closes after all", `the new process said no more; wanted "ready"`, []string{"yield", "resume"}},
		"talks":             {"talks", `the new process said "hello"; wanted "prepared"`, nil},
		"talks after all":   {"talks after all", `the new process said "hello"; wanted "ready"`, []string{"yield", "resume"}},
		"hangs":             {"hangs", "the new process was not ready within 300ms", nil},
		"hangs after all":   {"hangs after all", "the new process was not ready within 2s", []string{"yield", "resume"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(behaviour, test.how)
			l := startLife(t, "answering: 192.0.2.7")
			switch name {
			case "hangs":
				l.readyLimit = 300 * time.Millisecond
			case "hangs after all":
				l.readyLimit = 2 * time.Second
			}
			for range 2 {
				l.told = nil
				_, err := l.handOver()
				if err == nil || err.Error() != test.want {
					t.Fatalf("%v, want %s", err, test.want)
				}
				if diff := cmp.Diff(test.told, l.told); diff != "" {
					t.Error(diff)
				}
				l.serves(t, "192.0.2.7")
			}
			if status := l.end(0); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

// The end does not wait for a successor.
func TestEndInHandOver(t *testing.T) {
	t.Setenv(behaviour, "hangs after all")
	l := startLife(t, "answering: 192.0.2.7")
	l.signals <- syscall.SIGHUP
	l.signals <- syscall.SIGHUP
	l.signals <- syscall.SIGTERM
	began := time.Now()
	if status := l.serve(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if took := time.Since(began); took > readyLimit/2 {
		t.Errorf("it took %v", took)
	}
}

// What takes long to close, as on a slow disk, has the time that nobody else
// needed.
func TestEndIsPatient(t *testing.T) {
	t.Parallel()
	l := startLife(t, "answering: 192.0.2.7")
	l.process.Go(func(ctx context.Context) { <-ctx.Done(); time.Sleep(2 * time.Second) })
	if status := l.end(0); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
}

// What does not end is not waited for at the end, and owned up to.
func TestEndIsBounded(t *testing.T) {
	t.Parallel()
	l := startLife(t, "answering: 192.0.2.7")
	hangs := make(chan struct{})
	l.process.Go(func(context.Context) { <-hangs })
	began := time.Now()
	if status := l.end(0); status != 1 {
		t.Errorf("exit status %d, want 1: something was not closed", status)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	close(hangs)
}

// A program that is not there any more is an error that names it.
func TestProgramGone(t *testing.T) {
	t.Parallel()
	l := startLife(t, "answering: 192.0.2.7")
	l.program = filepath.Join(t.TempDir(), "coredhcp")
	_, err := l.handOver()
	if want := "starting " + l.program + ": fork/exec " + l.program + ": no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	l.serves(t, "192.0.2.7")
	l.end(0)
}

// The setup functions are called in CoreDHCP's order, with its errors.
func TestSetUp(t *testing.T) {
	t.Parallel()
	plugin := func(name string, words ...string) config.PluginConfig {
		return config.PluginConfig{Name: name, Args: words}
	}
	tests := map[string]struct {
		v4, v6 []config.PluginConfig
		want   string
	}{
		"nothing":  {want: "no configuration found for either DHCPv6 or DHCPv4"},
		"unknown":  {v4: []config.PluginConfig{plugin("nowhere")}, want: "error parsing config: DHCPv4: unknown plugin `nowhere`"},
		"unknown6": {v4: []config.PluginConfig{plugin("answering")}, v6: []config.PluginConfig{plugin("nowhere")}, want: "error parsing config: DHCPv6: unknown plugin `nowhere`"},
		"mistake":  {v4: []config.PluginConfig{plugin("answering", "192.0.2.7"), plugin("answering")}, want: "answering: 0 words; wanted an address"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config.New()
			if test.v4 != nil {
				c.Server4 = &config.ServerConfig{Plugins: test.v4}
			}
			if test.v6 != nil {
				c.Server6 = &config.ServerConfig{Plugins: test.v6}
			}
			if _, err := setUp(c, process.New()); err == nil || err.Error() != test.want {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}

// A handler that asks for the origin gets it, beside others that do not; a
// plugin that has none for a family is passed over.
func TestSetUpChains(t *testing.T) {
	t.Parallel()
	p := process.New()
	var from atomic.Value
	aware := plugins.Plugin{Name: "aware", Setup6: func(...string) (handler.Handler6, error) {
		return process.Aware(p, func(_, resp dhcpv6.DHCPv6, o process.Origin) (dhcpv6.DHCPv6, bool) {
			from.Store(o.Peer)
			return resp, true
		}), nil
	}}
	if err := plugins.RegisterPlugin(&aware); err != nil {
		t.Fatal(err)
	}
	c := config.New()
	c.Server6 = &config.ServerConfig{Plugins: []config.PluginConfig{{Name: "answering"}, {Name: "aware"}}}
	c.Server4 = &config.ServerConfig{Plugins: []config.PluginConfig{{Name: "answering", Args: []string{"192.0.2.7"}}, {Name: "aware"}}}
	chains, err := setUp(c, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(chains.v4) != 1 || len(chains.v6) != 1 {
		t.Fatalf("%d handlers of DHCPv4, %d of DHCPv6", len(chains.v4), len(chains.v6))
	}
	peer := netip.MustParseAddrPort("[2001:db8::1]:546")
	chains.v6[0](nil, nil, process.Origin{Peer: peer})
	if from.Load() != peer {
		t.Errorf("origin %v", from.Load())
	}
	resp, stop := chains.v4[0](nil, &dhcpv4.DHCPv4{}, process.Origin{})
	if !stop || resp.YourIPAddr.String() != "192.0.2.7" {
		t.Errorf("%v %v", resp, stop)
	}
}
