package status

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newTest returns a server with a view that says what it was asked.
func newTest(ready ...string) *Server {
	views := map[string]View{
		PathLeases: func(_ context.Context, q Params) (any, error) {
			limit, err := q.Limit()
			return map[string]any{"machine": q["machine"], "limit": limit}, err
		},
		PathExplain: func(context.Context, Params) (any, error) { panic("a fault") },
		PathUnknown: func(context.Context, Params) (any, error) { return nil, Absent("no bootloop here") },
		PathStatus:  func(context.Context, Params) (any, error) { return nil, errors.New("broken") },
	}
	return New(Options{
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "metrics") }),
		Ready:   func() []string { return ready },
		Views:   func(path string) View { return views[path] },
		Takes:   map[string][]string{PathLeases: {"machine", "limit"}},
		Hosts:   []string{"dhcp.example.org"},
	})
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	problem := func(status int, detail string) string {
		return fmt.Sprintf("%d {\n \"status\": %d,\n \"detail\": \"%s\"\n}\n", status, status, detail)
	}
	for name, c := range map[string]struct{ method, host, target, body, want string }{
		"metrics":       {"GET", "127.0.0.1:6767", "/metrics", "", "200 metrics"},
		"health":        {"GET", "[::1]:6767", "/healthz", "", "200 ok\n"},
		"ready":         {"GET", "192.0.2.1", "/readyz", "", "200 ok\n"},
		"view":          {"GET", "localhost:6767", "/api/v1/leases?machine=a%20b&limit=7", "", "200 {\n \"limit\": 7,\n \"machine\": \"a b\"\n}\n"},
		"head":          {"HEAD", "DHCP.example.org.", "/api/v1/leases", "", "200 {\n \"limit\": 1000,\n \"machine\": \"\"\n}\n"},
		"rebound name":  {"GET", "evil.example.com:6767", "/metrics", "", problem(421, `Host \"evil.example.com:6767\"; wanted an IP address, localhost, or a name of http_host`)},
		"no host":       {"GET", "", "/healthz", "", problem(421, `Host \"\"; wanted an IP address, localhost, or a name of http_host`)},
		"post":          {"POST", "127.0.0.1", "/api/v1/leases", "", problem(405, "nothing can be changed here; wanted GET or HEAD")},
		"body":          {"GET", "127.0.0.1", "/api/v1/leases", "x", problem(400, "the request has a body; wanted none")},
		"path":          {"GET", "127.0.0.1", "/api/v2/leases", "", problem(404, `\"/api/v2/leases\" is not served here; docs/api.md has what is`)},
		"parameter":     {"GET", "127.0.0.1", "/api/v1/leases?mac=1&limit=1", "", problem(400, `unknown parameter \"mac\"; wanted one of machine, limit`)},
		"no parameters": {"GET", "127.0.0.1", "/api/v1/status?mac=1", "", problem(400, `unknown parameter \"mac\"; wanted none`)},
		"twice":         {"GET", "127.0.0.1", "/api/v1/leases?machine=1&machine=2&limit=x", "", problem(400, `machine is given 2 times; wanted once`)},
		"long":          {"GET", "127.0.0.1", "/api/v1/leases?machine=" + strings.Repeat("x", 257), "", problem(400, `machine has 257 octets; wanted at most 256`)},
		"limit":         {"GET", "127.0.0.1", "/api/v1/leases?limit=0", "", problem(400, `limit \"0\"; wanted a number from 1 to 1000000`)},
		"escape":        {"GET", "127.0.0.1", "/api/v1/leases?limit=%zz", "", problem(400, `parameters \"limit=%zz\": invalid URL escape \"%zz\"`)},
		"absent":        {"GET", "127.0.0.1", "/api/v1/unknown", "", problem(404, "no bootloop here")},
		"broken":        {"GET", "127.0.0.1", "/api/v1/status", "", problem(500, "broken")},
		"panic":         {"GET", "127.0.0.1", "/api/v1/explain", "", problem(500, "this is a fault of the server; its log says more")},
	} {
		req := httptest.NewRequestWithContext(t.Context(), c.method, c.target, strings.NewReader(c.body))
		req.Host = c.host
		rec := httptest.NewRecorder()
		newTest().ServeHTTP(rec, req)
		if diff := cmp.Diff(c.want, fmt.Sprint(rec.Code, " ", rec.Body.String())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), "GET", PathReady, nil)
	req.Host = "127.0.0.1"
	newTest("the inventory was never loaded", "no socket").ServeHTTP(rec, req)
	if got := fmt.Sprint(rec.Code, " ", rec.Body.String()); got != "503 the inventory was never loaded\nno socket\n" {
		t.Error(got)
	}
}

// serve runs a server on a port of loopback and on a socket.
func serve(t *testing.T) (addr, path string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "status.sock")
	socket, err := Socket(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := newTest().Run(ctx, l, socket); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); run.Wait() })
	return l.Addr().String(), path
}

// ask sends octets and returns the first line of the answer.
func ask(t *testing.T, network, addr, request string) string {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		return "refused"
	}
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line)
}

// TestWire has requests as octets, over both ways.
func TestWire(t *testing.T) {
	t.Parallel()
	addr, path := serve(t)
	for name, c := range map[string]struct{ network, addr, request, want string }{
		"tcp":              {"tcp", addr, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "HTTP/1.1 200 OK"},
		"rebound":          {"tcp", addr, "GET /healthz HTTP/1.1\r\nHost: evil.example.com\r\n\r\n", "HTTP/1.1 421 Misdirected Request"},
		"HTTP/1.0":         {"tcp", addr, "GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.0 421 Misdirected Request"},
		"socket, any name": {"unix", path, "GET /healthz HTTP/1.1\r\nHost: coresmd\r\n\r\n", "HTTP/1.1 200 OK"},
		"absolute":         {"tcp", addr, "GET http://evil.example.com/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "HTTP/1.1 421 Misdirected Request"},
		"headers":          {"tcp", addr, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + strings.Repeat("x", 16<<10) + "\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large"},
		"chunked":          {"tcp", addr, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		"garbage":          {"tcp", addr, "\x16\x03\x01\x00\r\n\r\n", "HTTP/1.1 400 Bad Request"},
	} {
		if got := ask(t, c.network, c.addr, c.request); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestSocket has what may stand where the socket is to be.
func TestSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Socket(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if _, err := Socket(path); err == nil || err.Error() != "listening on "+path+": address already in use" {
		t.Errorf("in use: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	left, err := Socket(path)
	if err != nil {
		t.Errorf("left behind: %v", err)
	} else {
		left.Close()
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Socket(path); err == nil || err.Error() != "listening on "+path+": there is something else of that name" {
		t.Errorf("a file: %v", err)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{":6767": "127.0.0.1:6767", "0.0.0.0:6767": "0.0.0.0:6767", "[::1]:1": "[::1]:1", "x": ""} {
		if got, err := Loopback(addr); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s %v, want %s", addr, got, err, want)
		}
	}
}

// FuzzServe has a Host header, a method and a target as they come. Whatever
// they are, a foreign name is told nothing.
func FuzzServe(f *testing.F) {
	f.Add("127.0.0.1:6767", "GET", "/api/v1/leases?machine=02:00:00:00:00:01&limit=5")
	f.Add("evil.example.com", "POST", "/metrics")
	f.Add("[::1%25eth0]:1", "OPTIONS", "*")
	f.Add("0x7f.1", "GET", "/api/v1/explain")
	f.Fuzz(func(t *testing.T, host, method, target string) {
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")))
		if err != nil {
			return
		}
		rec := httptest.NewRecorder()
		newTest().ServeHTTP(rec, req)
		if rec.Code == 0 || rec.Code == 200 && req.Method != "GET" && req.Method != "HEAD" {
			t.Errorf("%s %s: %d", req.Method, target, rec.Code)
		}
		if strings.HasSuffix(strings.ToLower(req.Host), ".com") && rec.Code != 421 {
			t.Errorf("Host %q: %d", req.Host, rec.Code)
		}
	})
}

// A server leaves its listener to a successor, which answers from then on.
func TestLeave(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	copied, err := net.FileListener(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	old, successor := newTest(), newTest()
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	running.Go(func() {
		if err := old.Run(ctx, l); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		if err := successor.Run(ctx, copied); err != nil {
			t.Error(err)
		}
	})
	old.Leave(ctx)
	for range 5 {
		if got := ask(t, "tcp", l.Addr().String(), "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); got != "HTTP/1.1 200 OK" {
			t.Errorf("got %q", got)
		}
	}
	cancel()
	running.Wait()
}

// A tardy listener accepts one connection when it is already closed: the
// kernel had it by then.
type tardy struct {
	net.Listener
	last      chan net.Conn
	accepting chan struct{} // whoever waits
	closed    chan struct{}
	once      sync.Once
}

func (l *tardy) Accept() (net.Conn, error) {
	l.accepting <- struct{}{}
	<-l.closed
	time.Sleep(20 * time.Millisecond) // the server goes on leaving meanwhile
	select {
	case conn := <-l.last:
		return conn, nil
	default:
		return nil, net.ErrClosed
	}
}

func (l *tardy) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A question that comes with the end is answered before the server has left.
func TestLeaveAnswersLast(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	late := &tardy{Listener: l, last: make(chan net.Conn, 1), accepting: make(chan struct{}, 8), closed: make(chan struct{})}
	late.last <- server
	s, answer := newTest(), make(chan string, 1)
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(t.Context(), late); err != nil {
			t.Error(err)
		}
	})
	<-late.accepting
	running.Go(func() {
		fmt.Fprint(client, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		b, _ := io.ReadAll(client)
		first, _, _ := strings.Cut(string(b), "\r\n")
		answer <- first
	})
	s.Leave(t.Context())
	if got := <-answer; got != "HTTP/1.1 200 OK" {
		t.Errorf("got %q", got)
	}
	running.Wait()
}

// TestPcap has packets written, refused, and cut off.
func TestPcap(t *testing.T) {
	t.Parallel()
	s := New(Options{Capture: func(q Params, w io.Writer) error {
		switch q["machine"] {
		case "nobody":
			return Absent("nothing is known of %q", q["machine"])
		case "broken":
			fmt.Fprint(w, strings.Repeat("some of the pack", 10_000))
			return errors.New("broken")
		}
		fmt.Fprintf(w, "packets of %q", q["machine"])
		return nil
	}})
	listener := httptest.NewServer(s)
	defer listener.Close()
	client, err := NewClient(listener.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		params    Params
		want, err string
	}{
		"all":     {nil, `packets of ""`, ""},
		"one":     {Params{"machine": "x y"}, `packets of "x y"`, ""},
		"nobody":  {Params{"machine": "nobody"}, "", `nothing is known of "nobody"`},
		"cut off": {Params{"machine": "broken"}, "", "reading the packets: unexpected EOF"},
		"wrong":   {Params{"mac": "1"}, "", `unknown parameter "mac"; wanted one of machine`},
	} {
		var got strings.Builder
		err := client.Pcap(t.Context(), c.params, &got)
		if text := fmt.Sprint(err); (c.err == "") != (err == nil) || err != nil && text != c.err {
			t.Errorf("%s: %v, want %s", name, err, c.err)
		}
		if c.err == "" && got.String() != c.want {
			t.Errorf("%s: %q, want %q", name, got.String(), c.want)
		}
	}
	resp, err := http.Get(listener.URL + PathPcap)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "application/x-pcapng" {
		t.Errorf("content type %q", got)
	}
}
