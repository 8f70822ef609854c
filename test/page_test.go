//go:build page

package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A browser is a headless Chromium that looks at the page of a site's server.
type browser struct {
	t   *testing.T
	ctx context.Context
	url string

	mu         sync.Mutex
	complaints []string // guarded by mu: of the page's script, and of its security policy
}

// browse starts a browser. It is outside: what it asks is carried into the server's namespace.
func (s *site) browse() *browser {
	s.t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.UserDataDir(s.t.TempDir()))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	s.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	s.t.Cleanup(cancel)
	b := &browser{t: s.t, ctx: ctx, url: "http://" + s.forward(statusAddr)}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		s.t.Fatal(err)
	}
	tell(b, log.Enable, cdp.Empty{})
	return b
}

// forward listens on this host's loopback and carries connections to an address in the server's
// namespace.
func (s *site) forward(addr string) string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.carry(ctx, from, addr) })
		}
	})
	s.t.Cleanup(func() { l.Close(); cancel(); all.Wait() })
	return l.Addr().String()
}

func (s *site) carry(ctx context.Context, from net.Conn, addr string) {
	defer from.Close()
	to, err := s.server.Dial(ctx, "tcp", addr)
	if err != nil {
		return
	}
	defer to.Close()
	stop := context.AfterFunc(ctx, func() { from.Close(); to.Close() })
	defer stop()
	go func() { _, _ = io.Copy(to, from); to.Close() }()
	_, _ = io.Copy(from, to)
}

// hear notes what the browser complains of.
func (b *browser) hear(event any) {
	var text string
	switch e := event.(type) {
	case *log.EventEntryAdded:
		text = e.Entry.Text
	case *cdpruntime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
	case *page.EventJavascriptDialogOpening:
		text = "dialog: " + e.Message
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, text)
}

// see runs an action.
func see[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// tell sends the browser a command of its own protocol.
func tell[P any](b *browser, command cdp.Command[P, cdp.Empty], params P) {
	b.t.Helper()
	see(b, func(ctx context.Context, t *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, t, command, params)
	})
}

// text returns what is to be read in a part of the page.
func (b *browser) text(part string) string {
	b.t.Helper()
	return see(b, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", part)))
}

// run runs a script in the page.
func (b *browser) run(script string) {
	b.t.Helper()
	see(b, chromedp.Evaluate[chromedp.Void](script))
}

// shows waits until a part of the page has a text.
func (b *browser) shows(part, want string, limit time.Duration) {
	b.t.Helper()
	dhcptest.Eventually(b.t, limit, func() error {
		if text := b.text(part); !strings.Contains(text, want) {
			return fmt.Errorf("%s has no %q:\n%s", part, want, text)
		}
		return nil
	})
}

// quiet reports what the browser has complained of.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.complaints {
		b.t.Errorf("the browser: %s", text)
	}
}

// picture takes pictures of the whole page, light and dark, for a desk and for a pocket, and
// holds that nothing of it is wider than that.
func (b *browser) picture(name string) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		tell(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		for _, width := range []int64{390, 1440} {
			see(b, chromedp.EmulateViewport(width, 900))
			if wide := see(b, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")); wide > width {
				b.t.Errorf("%s is %d pixels wide at %d", name, wide, width)
			}
			keep(b.t, fmt.Sprintf("%s-%s-%d.png", name, scheme, width), see(b, chromedp.FullScreenshot(100)))
		}
	}
}

// keep writes a picture to the folder that PICTURES names.
func keep(t *testing.T, name string, octets []byte) {
	t.Helper()
	folder := os.Getenv("PICTURES")
	if folder == "" {
		return
	}
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, name), octets, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// A site is watched while machines come: one that binds, one that is stuck, and a stranger that
// calls itself a script.
func TestPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.scriptService()
	for n := 1; n <= 9; n++ {
		s.addNode(n, fmt.Sprintf("192.0.2.%d", 10+n))
	}
	s.addNode(10)
	dhcp := dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), s.chain(s.words("http_addr="+statusAddr, "ready_age=20s", "subnet=192.0.2.0/24", "rule=type:Node,hostname:nid{04d}"),
		"bootloop: lease_file="+t.TempDir()+"/leases.db subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.209"))
	s.ready("ok")
	wire := s.tester()
	b := s.browse()
	see(b, chromedp.Navigate(b.url+"/"))
	b.shows("#live", "live", takesUp)
	b.shows("#totals", "Machines in SMD\n10", takesUp)
	b.shows("#events", "None.", takesUp)

	client := s.host(1)
	dhcptest.StartUdhcpc(client, "eth0", dhcptest.ClientOptions{}).WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	bound := time.Now()
	b.shows("#events", "x3000c0s1b0n0 nid0001\tREQUEST\tACK\t192.0.2.11", 2*time.Second)
	t.Logf("a machine that binds is on the page %v later", time.Since(bound).Round(time.Millisecond))

	const markup = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	wire.ask(0x8001, discover, takesUp, dhcpv4.WithOption(dhcpv4.OptHostName(markup)), dhcpv4.WithOption(dhcpv4.OptClassIdentifier(markup)))
	for range 4 { // beginning again and again
		wire.ask(2, discover, takesUp, dhcptest.PXE(7))
		wire.ask(2, request, takesUp, dhcptest.PXE(7), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(serverIP.AsSlice())), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(192, 0, 2, 12))))
	}
	wire.ask(10, discover, takesUp)
	b.shows("#unknown", markup, takesUp)
	b.shows("#stuck", "no request for it came", takesUp)
	b.shows("#faults", "x3000c0s10b0n0", takesUp)
	b.picture("overview")
	for _, part := range []string{"stuck", "unknown", "faults"} {
		see(b, chromedp.Click(chromedp.CSS(fmt.Sprintf("#totals a[href='#%s']", part))))
		if got := see(b, chromedp.Evaluate[string]("location.hash")); got != "#"+part {
			t.Errorf("the tile of %s leads to %q", part, got)
		}
	}

	see(b, chromedp.Click(chromedp.CSS("#stuck tbody a")))
	b.shows("#machine", "x3000c0s2b0n0 nid0002", takesUp)
	b.shows("#machine", "DISCOVER is answered with OFFER of 192.0.2.12 (coresmd)", takesUp)
	b.picture("machine")
	b.run("document.querySelectorAll('details').forEach(d => { d.open = true })")
	b.picture("details")
	search := func(word string) {
		see(b, chromedp.SetValue(chromedp.CSS("input[name=machine]"), word))
		see(b, chromedp.Click(chromedp.CSS("form button")))
	}
	for _, word := range []string{"x3000c0s5b0n0", "nid0005", "192.0.2.15", dhcptest.MAC(5).String()} {
		search("nothing")
		b.shows("#machine", `"nothing" is no machine of SMD`, takesUp)
		search(word)
		b.shows("#machine", "x3000c0s5b0n0 nid0005", takesUp)
	}
	search("x3000c0s")
	b.shows("#machine", `10 machines that fit "x3000c0s"`, takesUp)
	b.picture("found")
	b.run("history.back()")
	b.shows("#machine", "x3000c0s5b0n0 nid0005", takesUp)
	b.quiet()

	s.smd.Stop()
	b.shows("#state", "not ready", time.Minute)
	b.shows("#state", "ready_age is 20s", takesUp)
	b.picture("not-ready")
	s.smd.Start()
	b.shows("#totals", "fresh", time.Minute)

	tell(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	see(b, chromedp.Navigate(b.url+"/?machine=nid0005"))
	essentials := see(b, chromedp.Text(chromedp.CSS("body")))
	for _, text := range []string{"x3000c0s5b0n0 nid0005", "Stuck: 1", "Unknown machines: 1", "192.0.2.200-192.0.2.209", "Load the page again"} {
		if !strings.Contains(essentials, text) {
			t.Errorf("without a script the page has no %q:\n%s", text, essentials)
		}
	}
	b.quiet()

	tell(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: false})
	see(b, chromedp.Navigate(b.url+"/"))
	b.shows("#live", "live", takesUp)
	dhcp.Stop()
	b.shows("#live", "no connection: what is shown is old", takesUp)
	if class := see(b, chromedp.Evaluate[string]("document.getElementById('live').className")); class != "bad" {
		t.Errorf("that what is shown is old is written as %q", class)
	}
	b.picture("gone")
}

// A hundred thousand machines, each of them stuck: the page opens in a second.
func TestPageOfManyMachines(t *testing.T) {
	const many = 100_000
	s := newWiring(t)
	s.tftp = t.TempDir()
	dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), fmt.Sprintf(`server4:
  listen: ["%%eth0"]
  plugins:
    - server_id: 192.0.2.1
    - coresmd: svc_base_uri=file://%s ipxe_base_uri=http://192.0.2.1:8081 tftp=off rule_log=none http_addr=%s rule=type:Node,hostname:nid{06d}
`, manyMachines(t, many), statusAddr))
	s.ready("ok")
	s.allAsk(many)
	s.allStuck(many)
	b := s.browse()
	see(b, chromedp.Navigate(b.url+"/")) // the first look is the start of the browser, too
	var took []float64
	for range 5 {
		see(b, chromedp.Navigate(b.url+"/"))
		see(b, chromedp.WaitVisible(chromedp.CSS("#events table")))
		took = append(took, see(b, chromedp.Evaluate[float64]("performance.getEntriesByType('navigation')[0].domComplete")))
		time.Sleep(time.Second) // what is shown is not of the look before
	}
	t.Logf("the page of %d machines is complete after %.0f ms", many, took)
	b.shows("#totals", fmt.Sprintf("Machines in SMD\n%d", many), takesUp)
	slices.Sort(took)
	if ms := took[len(took)/2]; ms > 1000 {
		t.Errorf("half of the looks take longer than %.0f ms", ms)
	}
	b.shows("#totals", "Stuck\n"+s.stuck(), takesUp)
	b.picture("many")
	b.quiet()
}

func macOf(i int) net.HardwareAddr {
	return net.HardwareAddr{2, 1, 0, byte(i >> 16), byte(i >> 8), byte(i)}
}

// manyMachines writes an inventory.
func manyMachines(t *testing.T, n int) (folder string) {
	t.Helper()
	var interfaces, components strings.Builder
	for i := range n {
		id := fmt.Sprintf("x%dc%ds%db0n0", 1000+i/64, i/8%8, i%8)
		sep := ","
		if i == 0 {
			sep = ""
		}
		fmt.Fprintf(&interfaces, `%s{"MACAddress":%q,"ComponentID":%q,"Type":"Node","IPAddresses":[{"IPAddress":"198.%d.%d.%d"}]}`, sep, macOf(i), id, 18+i>>16, i>>8&255, i&255)
		fmt.Fprintf(&components, `%s{"ID":%q,"Type":"Node","NID":%d}`, sep, id, i+1)
	}
	return dhcptest.Inventory(t, "["+interfaces.String()+"]", `{"Components":[`+components.String()+"]}")
}

// allAsk has each machine ask until the server has heard nearly all of them.
func (s *site) allAsk(n int) {
	s.t.Helper()
	w := newStorm(s, 0)
	dhcptest.Eventually(s.t, 3*time.Minute, func() error {
		for i := range n {
			req := message(i, dhcpv4.MessageTypeDiscover, dhcptest.PXE(7))
			req.ClientHWAddr = macOf(i)
			w.send(req)
			if i%50 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		var now status.Status
		err := json.Unmarshal([]byte(s.told(status.PathStatus)), &now)
		if err == nil && now.Journal.Machines < n*95/100 {
			err = fmt.Errorf("%d machines were heard", now.Journal.Machines)
		}
		return err
	})
}

// allStuck waits until nearly all machines are stuck: for a minute they are only slow.
func (s *site) allStuck(n int) {
	s.t.Helper()
	dhcptest.Eventually(s.t, 2*time.Minute, func() error {
		if stuck := s.boots().Stuck; stuck < n*95/100 {
			return fmt.Errorf("%d machines are stuck", stuck)
		}
		return nil
	})
}

func (s *site) stuck() string { return fmt.Sprint(s.boots().Stuck) }

func (s *site) boots() (boots status.Boots) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.told(status.PathBoots+"?limit=1")), &boots); err != nil {
		s.t.Fatal(err)
	}
	return boots
}
