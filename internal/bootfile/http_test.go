package bootfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// startHTTP runs an HTTP server on the loopback interface until the test ends.
func startHTTP(t *testing.T, o Options) (*HTTPServer, chan Transfer) {
	t.Helper()
	ended := make(chan Transfer, 4096)
	o.Addr, o.OnTransfer = "127.0.0.1:0", func(tr Transfer) { ended <- tr }
	s, err := ListenHTTP(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s, ended
}

// ask sends a request line as it stands and headers, and returns the answer:
// status, the headers that matter, and the body.
func ask(t *testing.T, s *HTTPServer, line string, headers ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	head := append([]string{line + " HTTP/1.1", "Host: boot"}, headers...)
	if _, err := io.WriteString(conn, strings.Join(head, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(line, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d", resp.StatusCode)
	for _, name := range []string{"Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "Allow", "Location"} {
		if v := resp.Header.Get(name); v != "" {
			fmt.Fprintf(&b, " %s: %s;", name, v)
		}
	}
	return b.String() + " " + string(body)
}

// What clients of HTTP are answered, names in every spelling included.
func TestHTTP(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	if err := os.WriteFile(filepath.Join(dir, "kernel"), []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, _ := startHTTP(t, Options{Dir: dir, BuiltIn: map[string][]byte{"default": []byte("built in"), "reboot.ipxe": []byte("#!ipxe\n")}})
	const (
		octets, script = "Content-Type: application/octet-stream;", "Content-Type: text/plain; charset=utf-8;"
		denied         = "403 " + script + " Content-Length: 17; access violation\n"
		missing        = "404 " + script + " Content-Length: 15; file not found\n"
		bad            = "400 " + script + " 400 Bad Request"
		ipxe           = "200 Content-Type: application/efi; Content-Length: 4; Accept-Ranges: bytes; ipxe"
	)
	for request, want := range map[string]string{
		"GET /ipxe.efi":                    ipxe,
		"GET //ipxe.efi":                   ipxe,
		"GET /sub/../ipxe.efi":             ipxe,
		"GET /ipxe%2eefi?mac=1":            ipxe,
		"GET http://boot/ipxe.efi":         ipxe,
		"HEAD /ipxe.efi":                   strings.TrimSuffix(ipxe, "ipxe"),
		"GET /default":                     "200 " + octets + " Content-Length: 11; Accept-Ranges: bytes; own default",
		"GET /reboot.ipxe":                 "200 " + script + " Content-Length: 7; Accept-Ranges: bytes; #!ipxe\n",
		"GET /link-abs":                    "200 " + octets + " Content-Length: 4; Accept-Ranges: bytes; ipxe",
		"GET /kernel|Range: bytes=2-4":     "206 " + octets + " Content-Length: 3; Content-Range: bytes 2-4/10; Accept-Ranges: bytes; 234",
		"GET /kernel|Range: bytes=-3":      "206 " + octets + " Content-Length: 3; Content-Range: bytes 7-9/10; Accept-Ranges: bytes; 789",
		"GET /kernel|Range: bytes=8-99":    "206 " + octets + " Content-Length: 2; Content-Range: bytes 8-9/10; Accept-Ranges: bytes; 89",
		"GET /kernel|Range: bytes=10-":     "416 " + script + " Content-Length: 33; Content-Range: bytes */10; invalid range: failed to overlap\n",
		"GET /kernel|Range: lines=1":       "416 " + script + " Content-Length: 14; invalid range\n",
		"HEAD /kernel|Range: bytes=0-0":    "206 " + octets + " Content-Length: 1; Content-Range: bytes 0-0/10; Accept-Ranges: bytes; ",
		"GET /":                            denied,
		"GET /sub":                         denied,
		"GET /sub/":                        denied,
		"GET /link-dir":                    denied,
		"GET /fifo":                        denied,
		"GET /device":                      denied,
		"GET /out":                         denied,
		"GET /out-abs":                     denied,
		"GET /out-dir/secret":              denied,
		"GET /../secret":                   denied,
		"GET /sub/../../secret":            denied,
		"GET /%2e%2e/secret":               denied,
		"GET /%2e%2e%2fsecret":             denied,
		"GET /..%5csecret":                 denied,
		"GET /..\\secret":                  denied,
		"GET /%252e%252e/secret":           missing,
		"GET /missing.efi":                 missing,
		"GET /" + strings.Repeat("n", 512): missing,
		"GET /a%00b":                       missing,
		"GET ../secret":                    bad,
		"GET /%zz":                         bad,
		"PUT /ipxe.efi|Content-Length: 0":  "405 " + script + " Content-Length: 28; Allow: GET, HEAD; files can only be read here\n",
		"DELETE /ipxe.efi":                 "405 " + script + " Content-Length: 28; Allow: GET, HEAD; files can only be read here\n",
		"OPTIONS *":                        "200 Content-Length: 0; ",
	} {
		line, header, found := strings.Cut(request, "|")
		var headers []string
		if found {
			headers = append(headers, header)
		}
		if diff := cmp.Diff(want, ask(t, s, line, headers...)); diff != "" {
			t.Errorf("%.60s (-want +got):\n%s", request, diff)
		}
	}
}

// A header without end is not read to its end.
func TestHTTPHeaderTooLarge(t *testing.T) {
	t.Parallel()
	s, ended := startHTTP(t, Options{})
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	head := "GET / HTTP/1.1\r\nHost: boot\r\nX: "
	sent, err := io.Copy(conn, io.MultiReader(strings.NewReader(head), &endless{}))
	if sent > 16<<20 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d octets were taken, %v", sent, err)
	}
	select {
	case tr := <-ended:
		t.Errorf("it was served: %+v", tr)
	default:
	}
}

// endless is a text without end.
type endless struct{}

func (*endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

// What the callback is told.
func TestHTTPReport(t *testing.T) {
	t.Parallel()
	s, ended := startHTTP(t, Options{BuiltIn: map[string][]byte{"a": sample(100_000)}})
	var got []Transfer
	for _, c := range []struct{ line, header string }{
		{"GET /a", "X: y"}, {"GET /a", "Range: bytes=0-9"}, {"HEAD /a", "X: y"}, {"GET /b", "X: y"}, {"GET /../a", "X: y"}, {"POST /a", "Content-Length: 0"},
	} {
		ask(t, s, c.line, c.header)
		tr := <-ended
		if !tr.Client.Addr().IsLoopback() || tr.Took <= 0 {
			t.Errorf("got %+v", tr)
		}
		tr.Client, tr.Took = netip.AddrPort{}, 0
		got = append(got, tr)
	}
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	want := []Transfer{
		{HTTP: true, Name: "/a", Size: 100_000, Sent: 100_000, Outcome: Sent},
		{HTTP: true, Name: "/a", Size: 100_000, Sent: 10, Outcome: Sent},
		{HTTP: true, Name: "/a", Size: 100_000, Outcome: Sent},
		{HTTP: true, Name: "/b", Outcome: Missing, Err: errors.New(`no file "b"`)},
		{HTTP: true, Name: "/../a", Outcome: Refused, Err: errors.New(`"../a" leads outside the folder`)},
		{HTTP: true, Name: "/a", Outcome: Refused, Err: errors.New(`method "POST", want GET or HEAD`)},
	}
	errorTexts := cmp.Comparer(func(a, b error) bool { return text(a) == text(b) })
	if diff := cmp.Diff(want, got, errorTexts, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("transfers (-want +got):\n%s", diff)
	}
}

// A client that goes away in the middle is told of, and what it had.
func TestHTTPGone(t *testing.T) {
	t.Parallel()
	s, ended := startHTTP(t, Options{Dir: folder(t, map[string][]byte{"big": sample(64 << 20)})})
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /big HTTP/1.1\r\nHost: boot\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if tr := <-ended; tr.Outcome != Gone || tr.Err == nil || tr.Sent >= tr.Size || tr.Size != 64<<20 {
		t.Errorf("got %+v", tr)
	}
}

// No more connections than the limit are open; the next waits for its turn.
func TestHTTPLimit(t *testing.T) {
	t.Parallel()
	s, _ := startHTTP(t, Options{BuiltIn: map[string][]byte{"a": []byte("x")}, MaxTransfers: 1})
	first, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := io.WriteString(first, "GET /a HTTP/1.1\r\nHost: boot\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(first), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	second := make(chan string, 1)
	go func() { second <- ask(t, s, "GET /a") }()
	select {
	case got := <-second:
		t.Errorf("the second was answered beside the first: %s", got)
	case <-time.After(5 * tick):
	}
	first.Close()
	if got := <-second; !strings.HasPrefix(got, "200 ") {
		t.Errorf("got %s", got)
	}
}

func TestListenHTTPErrors(t *testing.T) {
	t.Parallel()
	s, _ := startHTTP(t, Options{})
	dir := folder(t, map[string][]byte{"file": nil})
	for addr, want := range map[string]string{
		s.Addr().String(): "listen tcp " + s.Addr().String() + ": bind: address already in use",
		"198.51.100.1:0":  "listen tcp 198.51.100.1:0: bind: cannot assign requested address",
	} {
		if _, err := ListenHTTP(Options{Addr: addr}); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := ListenHTTP(Options{Addr: s.Addr().String()}); !isAny(err, syscall.EADDRINUSE) {
		t.Errorf("%v is not EADDRINUSE", err)
	}
	want := fmt.Sprintf("opening the folder of boot files: %q is not a folder", filepath.Join(dir, "file"))
	if _, err := ListenHTTP(Options{Addr: "127.0.0.1:0", Dir: filepath.Join(dir, "file")}); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// FuzzHTTPName asks for any path: no panic, and nothing from outside the
// folder.
func FuzzHTTPName(f *testing.F) {
	for _, seed := range []string{"/ipxe.efi", "/../secret", "/%2e%2e/secret", "//", "/sub/", "*", "/..\\secret", "/a\x00b", ""} {
		f.Add(seed)
	}
	top := f.TempDir()
	dir := filepath.Join(top, "tftpboot")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o644),
		os.WriteFile(filepath.Join(dir, "ipxe.efi"), []byte("ipxe"), 0o644)); err != nil {
		f.Fatal(err)
	}
	s := &HTTPServer{root: root{dir: dir}, onTransfer: func(Transfer) {}}
	f.Fuzz(func(t *testing.T, target string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.0\r\n\r\n")))
		if err != nil {
			return
		}
		w := &memoryWriter{header: http.Header{}}
		s.serve(w, r)
		if body := w.body.String(); strings.Contains(body, "secret") && !strings.Contains(target, "secret") || w.status == 200 && body != "ipxe" {
			t.Errorf("%q: %d %q", target, w.status, body)
		}
	})
}

// memoryWriter keeps an answer.
type memoryWriter struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *memoryWriter) Header() http.Header              { return w.header }
func (w *memoryWriter) WriteHeader(status int)           { w.status = status }
func (w *memoryWriter) Write(b []byte) (int, error)      { return w.body.Write(b) }
func (w *memoryWriter) SetWriteDeadline(time.Time) error { return nil }
