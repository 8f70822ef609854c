package test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// bootloopConfig is a configuration with bootloop behind coresmd.
func (s *site) bootloopConfig(directive string) string {
	text, _, _ := strings.Cut(s.config(directive), "    - range:")
	return text + "    - bootloop: lease_file=" + filepath.Join(s.t.TempDir(), "leases.db") + " subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.220\n"
}

// A tester sends what clients send, as a relay on the lan: so it sees every
// answer.
type tester struct {
	t    *testing.T
	conn net.PacketConn
}

var testerIP = netip.MustParseAddr("192.0.2.30")

func (s *site) tester() *tester {
	s.t.Helper()
	host := s.host(0x30)
	host.IP("addr", "add", testerIP.String()+"/24", "dev", "eth0")
	conn, err := host.ListenPacket("udp4", netip.AddrPortFrom(testerIP, dhcpv4.ServerPort).String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return &tester{s.t, conn}
}

// ask sends a message and says what came back: OFFER, ACK, NAK with the
// address, or silence.
func (c *tester) ask(n int, kind dhcpv4.MessageType, wait time.Duration, with ...dhcpv4.Modifier) string {
	req, err := dhcpv4.New(dhcpv4.PrependModifiers(with, dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(dhcptest.MAC(n)), dhcpv4.WithRelay(testerIP.AsSlice()))...)
	if err != nil {
		return err.Error()
	}
	server := net.UDPAddrFromAddrPort(netip.AddrPortFrom(serverIP, dhcpv4.ServerPort))
	if _, err := c.conn.WriteTo(req.ToBytes(), server); err != nil {
		return err.Error()
	}
	buf := make([]byte, 1500)
	_ = c.conn.SetReadDeadline(time.Now().Add(wait))
	for {
		n, _, err := c.conn.ReadFrom(buf)
		if err != nil {
			return "silence"
		}
		reply, err := dhcpv4.FromBytes(buf[:n])
		if err == nil && reply.TransactionID == req.TransactionID {
			return reply.MessageType().String() + " " + reply.YourIPAddr.String()
		}
	}
}

const (
	discover = dhcpv4.MessageTypeDiscover
	request  = dhcpv4.MessageTypeRequest
)

// round has a known node ask in every state, and returns the answers that are
// not those of a node that is known.
func (c *tester) round(n int, addr string) (wrong []string) {
	for _, q := range []struct {
		name string
		kind dhcpv4.MessageType
		with []dhcpv4.Modifier
		want string
	}{
		{"DISCOVER", discover, nil, "OFFER "},
		{"SELECTING", request, []dhcpv4.Modifier{dhcptest.Server(serverIP.String()), dhcptest.Requested(addr)}, "ACK "},
		{"INIT-REBOOT", request, []dhcpv4.Modifier{dhcptest.Requested(addr)}, "ACK "},
		{"RENEWING", request, []dhcpv4.Modifier{dhcptest.Ciaddr(addr)}, "ACK "},
	} {
		if got := c.ask(n, q.kind, 2*time.Second, q.with...); got != q.want+addr {
			wrong = append(wrong, fmt.Sprintf("node %d, %s: %s, want %s", n, q.name, got, q.want+addr))
		}
	}
	return wrong
}

// A watch has known nodes ask without a pause, and a stranger now and then.
type watch struct {
	tester *tester
	nodes  int

	mu     sync.Mutex
	rounds int      // guarded by mu
	wrong  []string // guarded by mu
}

func (w *watch) run(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		n := 1 + i%w.nodes
		wrong := w.tester.round(n, fmt.Sprintf("192.0.2.%d", 10+n))
		if i%w.nodes == 0 { // has SMD asked for a single machine
			w.tester.ask(0x500+i%50, request, time.Millisecond, dhcptest.Ciaddr("192.0.2.77"))
		}
		w.mu.Lock()
		w.rounds++
		w.wrong = append(w.wrong, wrong...)
		w.mu.Unlock()
		time.Sleep(2 * time.Millisecond)
	}
}

// taken returns what was seen since the last call.
func (w *watch) taken() (rounds int, wrong []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rounds, wrong = w.rounds, w.wrong
	w.rounds, w.wrong = 0, nil
	return rounds, wrong
}

// faultNodes are the known nodes of the faults' site.
const faultNodes = 7

// TestFaults has everything go wrong between the plugin and SMD, while known
// nodes ask in every state: each goes on with its own address, none is refused,
// moved or taken for a stranger. The table of faults and what the log says is
// printed.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	pg := dhcptest.StartPostgres(t)
	s.smd = dhcptest.StartSMD(t, pg, dhcptest.SMDOptions{Namespace: s.server})
	for n := 1; n <= faultNodes; n++ {
		s.addNode(n, fmt.Sprintf("192.0.2.%d", 10+n))
	}
	p := startProxy(s)
	words := strings.Replace(s.words("snapshot_file=off", "ca_cert="+p.caFile), "http://127.0.0.1:27779", "https://"+proxyAddr, 1)
	dhcp := dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), s.bootloopConfig(words))
	dhcp.WaitLog(`inventory of .*: 7 machines`, takesUp)

	w := &watch{tester: s.tester(), nodes: faultNodes}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	defer running.Wait()
	defer cancel()

	for _, f := range faults(p) {
		tryFault(t, dhcp, p, w, f, nil, nil)
	}
	tryStatuses(t, dhcp, p, w)
	tryFault(t, dhcp, p, w, fault{name: "database stopped"}, func() {
		if err := pg.Halt(); err != nil {
			t.Error(err)
		}
	}, func() {
		if err := pg.Resume(); err != nil {
			t.Error(err)
		}
	})
	tryFault(t, dhcp, p, w, fault{name: "SMD restarted"}, s.smd.Stop, s.smd.Start)
	for _, line := range strings.Split(grep(grep(dhcp.Log(), `plugins/bootloop`), `mac="?02:00:00:00:00:0[1-7]`), "\n") {
		if line != "" {
			t.Errorf("bootloop saw a known node: %s", line)
		}
	}
}

// outcome is what the log says of a fault.
var outcome = regexp.MustCompile(`(?:inventory not refreshed, that of \S+ with 7 machines goes on: |machines where 7 were: )([^\n]*?)" prefix`)

// tryFault has a fault for two polls, and then none until SMD is believed
// again.
func tryFault(t *testing.T, dhcp *dhcptest.Process, p *proxy, w *watch, f fault, begin, end func()) {
	t.Helper()
	mark := dhcp.Mark()
	w.taken()
	p.set(f)
	if begin != nil {
		begin()
	}
	if f.lasts > 0 {
		time.Sleep(f.lasts)
		p.set(fault{})
	}
	dhcptest.Eventually(t, 3*takesUp, func() error {
		if outcome.MatchString(dhcp.LogSince(mark)) {
			return nil
		}
		return fmt.Errorf("%s: the log says nothing of it:\n%s", f.name, dhcp.LogSince(mark))
	})
	time.Sleep(200 * time.Millisecond)
	said := outcome.FindStringSubmatch(dhcp.LogSince(mark))[1]
	if f.lasts == 0 {
		mark = dhcp.Mark()
	}
	if end != nil {
		end()
	}
	p.set(fault{})
	dhcp.WaitLogSince(mark, `answers again|believed again`, 3*takesUp)
	report(t, w, f.name, said)
}

// report prints a row of the table.
func report(t *testing.T, w *watch, name, said string) {
	t.Helper()
	rounds, wrong := w.taken()
	t.Logf("%-28s %4d rounds, %d wrong: %.150s", name, rounds, len(wrong), strings.ReplaceAll(said, `\"`, `"`))
	if rounds < faultNodes {
		t.Errorf("%s: %d rounds", name, rounds)
	}
	for i, text := range wrong {
		if i == 5 {
			break
		}
		t.Errorf("%s: %s", name, text)
	}
}

// tryStatuses has every status from 400 to 599, each for one poll that a human
// asks for: what is an error is not believed then either.
func tryStatuses(t *testing.T, dhcp *dhcptest.Process, p *proxy, w *watch) {
	t.Helper()
	mark := dhcp.Mark()
	w.taken()
	for status := 400; status <= 599; status++ {
		p.set(fault{answer: statusFault(status)})
		before := p.polls.Load()
		dhcptest.Eventually(t, takesUp, func() error {
			if p.polls.Load() > before {
				return nil
			}
			dhcp.Signal(syscall.SIGUSR1)
			return fmt.Errorf("status %d: no poll", status)
		})
	}
	p.set(fault{})
	dhcp.WaitLogSince(mark, `answers again`, 3*takesUp)
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`EthernetInterfaces: ([45]\d\d) `).FindAllStringSubmatch(dhcp.LogSince(mark), -1) {
		seen[m[1]] = true
	}
	report(t, w, "every status 400-599", fmt.Sprintf("%d of 200 in the log", len(seen)))
	if len(seen) < 190 {
		t.Errorf("%d statuses in the log", len(seen))
	}
}

// faults are those of the proxy.
func faults(p *proxy) []fault {
	const kind = "application/json"
	drip := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		over := p.fault.Load().done
		for {
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-over:
				panic(http.ErrAbortHandler)
			case <-r.Context().Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return []fault{
		{name: "reset mid-body", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, `[{"ID":"020000000001"`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		{name: "cut short, whole by HTTP", answer: bodyFault(200, kind, `[{"ID":"020000000001"`)},
		{name: "hangs", answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{name: "slow drip", answer: drip, lasts: 4 * time.Second},
		{name: "wrong content type", answer: bodyFault(200, "text/plain", "[]")},
		{name: "empty 200", answer: bodyFault(200, kind, "")},
		{name: "null", answer: bodyFault(200, kind, "null")},
		{name: "HTML", answer: bodyFault(200, "text/html", "<html>log in</html>")},
		{name: "HTML as JSON", answer: bodyFault(200, kind, "<html>log in</html>")},
		{name: "an object", answer: bodyFault(200, kind, `{"status":500}`)},
		{name: "gzip garbage", answer: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			bodyFault(200, kind, "\x1f\x8b\x08garbage")(w, r)
		}},
		{name: "redirect loop", answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}},
		{name: "redirect elsewhere", answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://198.51.100.9/", http.StatusFound)
		}},
		{name: "wrong certificate", cert: "wrong"},
		{name: "expired certificate", cert: "expired"},
		{name: "certificate of another", cert: "another name"},
		{name: "empty inventory", answer: func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "Components") {
				bodyFault(200, kind, `{"Components":[]}`)(w, r)
				return
			}
			bodyFault(200, kind, "[]")(w, r)
		}},
		{name: "no interfaces", change: keepFirst(0, "EthernetInterfaces")},
		{name: "no components", change: keepFirst(0, "Components")},
		{name: "half the interfaces", change: keepFirst(3, "EthernetInterfaces")},
		{name: "half the components", change: keepFirst(3, "Components")},
	}
}

// wanted returns what is wrong with an answer.
func wanted(got, want string) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s, want %s", got, want)
}
