package bootfile

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// This one runs alone, before the parallel tests go on, since it counts
// goroutines.
func TestRunLeavesNothing(t *testing.T) {
	for _, single := range []bool{false, true} {
		before := runtime.NumGoroutine()
		r := start(t, Options{SinglePort: single, BuiltIn: map[string][]byte{"a": sample(5000)}})
		for range 10 { // clients that vanish after the first block
			p := dial(t, r.Addr())
			p.send(rrq("a"))
			p.want(data(1, sample(5000)[:512]))
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if tr := r.next(t); tr.Outcome != Failed || tr.Err.Error() != "the server stopped" {
				t.Errorf("got %s, %v", tr.Outcome, tr.Err)
			}
		}
		deadline := time.Now().Add(patience)
		for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if after := runtime.NumGoroutine(); after > before {
			t.Errorf("%d goroutines before, %d after", before, after)
		}
		again, err := Listen(Options{Addr: r.Addr().String()})
		if err != nil {
			t.Fatalf("the address is still taken: %v", err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestListenErrors(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string][]byte{"file": nil})
	taken := start(t, Options{}).Addr().String()
	tests := map[string]struct {
		o    Options
		want string
		is   error
	}{
		"folder is a file": {
			o:    Options{Addr: "127.0.0.1:0", Dir: filepath.Join(dir, "file")},
			want: fmt.Sprintf("opening the folder of boot files: %q is not a folder", filepath.Join(dir, "file")),
		},
		"folder below a file": {
			o:    Options{Addr: "127.0.0.1:0", Dir: filepath.Join(dir, "file", "x")},
			want: "opening the folder of boot files: stat " + filepath.Join(dir, "file", "x") + ": not a directory",
		},
		"address taken": {
			o:    Options{Addr: taken},
			want: "listen udp " + taken + ": bind: address already in use",
			is:   syscall.EADDRINUSE,
		},
		"not an address": {
			o:    Options{Addr: "69"},
			want: "listen udp: address 69: missing port in address",
		},
		"not ours": {
			o:    Options{Addr: "198.51.100.1:0"},
			want: "listen udp 198.51.100.1:0: bind: cannot assign requested address",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Listen(test.o)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
			if test.is != nil && !isAny(err, test.is) {
				t.Errorf("%v is not %v", err, test.is)
			}
		})
	}
}

func TestFolderAppears(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tftpboot")
	r := start(t, Options{Dir: dir, BuiltIn: map[string][]byte{"default": []byte("built in")}})
	get := func() string {
		d, err := dial(t, r.Addr()).get(rrq("default"))
		if err != nil {
			t.Fatal(err)
		}
		return string(d.bytes)
	}
	if got := get(); got != "built in" || !r.Missing() {
		t.Errorf("got %q, missing %t", got, r.Missing())
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "default"), []byte("own"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := get(); got != "own" || r.Missing() {
		t.Errorf("got %q, missing %t", got, r.Missing())
	}
}

func TestTransferReport(t *testing.T) {
	t.Parallel()
	bothPorts(t, func(t *testing.T, o Options) {
		o.BuiltIn = map[string][]byte{"a": sample(1000)}
		r := start(t, o)
		p := dial(t, r.Addr())
		if _, err := p.get(rrq("/a")); err != nil {
			t.Fatal(err)
		}
		tr := r.next(t)
		if tr.Took <= 0 || tr.Took > patience {
			t.Errorf("took %v", tr.Took)
		}
		tr.Took = 0
		want := Transfer{Client: p.conn.LocalAddr().(*net.UDPAddr).AddrPort(), Name: "/a", Size: 1000, Sent: 1000, Outcome: Sent}
		if diff := cmp.Diff(want, tr, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Error(diff)
		}
		r.quiet(t)
	})
}

func TestReplySource(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ listen, ask string }{
		"IPv4":                      {"0.0.0.0:0", "127.0.0.1"},
		"another IPv4":              {"0.0.0.0:0", "127.0.0.2"},
		"both families, IPv4":       {":0", "127.0.0.3"},
		"both families, IPv6":       {":0", "::1"},
		"IPv6":                      {"[::1]:0", "::1"},
		"one address of the system": {"127.0.0.4:0", "127.0.0.4"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(test.ask, ":") {
				if c, err := net.ListenPacket("udp6", "[::1]:0"); err != nil {
					t.Skip("no IPv6 here: ", err)
				} else {
					c.Close()
				}
			}
			bothPorts(t, func(t *testing.T, o Options) {
				o.Addr, o.BuiltIn = test.listen, map[string][]byte{"a": []byte("x")}
				r := start(t, o)
				ask := netip.AddrPortFrom(netip.MustParseAddr(test.ask), r.Addr().Port())
				p := dial(t, ask)
				p.send(rrq("a"))
				p.want(data(1, []byte("x")))
				p.send(ack(1))
				if got := unmapped(p.to); got.Addr() != ask.Addr() {
					t.Errorf("asked %s, answered by %s", ask, got)
				}
				if got := p.to.Port() == ask.Port(); got != o.SinglePort {
					t.Errorf("asked %s, answered by %s", ask, p.to)
				}
				if tr := r.next(t); tr.Outcome != Sent || !tr.Client.Addr().IsLoopback() {
					t.Errorf("got %+v", tr)
				}
			})
		})
	}
}

// A link-local address is no address without its interface.
func TestLinkLocal(t *testing.T) {
	t.Parallel()
	ours, ok := linkLocal(t)
	if !ok {
		t.Skip("no link-local IPv6 address here")
	}
	bothPorts(t, func(t *testing.T, o Options) {
		o.Addr, o.BuiltIn = "[::]:0", map[string][]byte{"a": []byte("x")}
		r := start(t, o)
		p := dial(t, netip.AddrPortFrom(ours, r.Addr().Port()))
		p.send(rrq("a"))
		p.want(data(1, []byte("x")))
		p.send(ack(1))
		if p.to.Addr() != ours {
			t.Errorf("asked %s, answered by %s", ours, p.to)
		}
		if tr := r.next(t); tr.Outcome != Sent {
			t.Errorf("got %+v", tr)
		}
	})
}

func linkLocal(t *testing.T) (netip.Addr, bool) {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		addrs, _ := link.Addrs()
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if err == nil && prefix.Addr().Is6() && prefix.Addr().IsLinkLocalUnicast() {
				return prefix.Addr().WithZone(link.Name), true
			}
		}
	}
	return netip.Addr{}, false
}

// An error of the socket passes, and does not keep the processor busy.
func TestSocketError(t *testing.T) {
	t.Parallel()
	r := start(t, Options{BuiltIn: map[string][]byte{"a": []byte("x")}})
	if err := r.socket.conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(tick)
	if err := r.socket.conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if d, err := dial(t, r.Addr()).get(rrq("a")); err != nil || string(d.bytes) != "x" {
		t.Errorf("got %q, %v", d.bytes, err)
	}
}

// Requests to a broadcast or multicast address and from port 0 are not
// answered.
func TestAnswerable(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		client, ours string
		want         bool
	}{
		"unicast":        {"192.0.2.9:2070", "192.0.2.1", true},
		"broadcast":      {"192.0.2.9:2070", "255.255.255.255", false},
		"multicast":      {"192.0.2.9:2070", "224.0.0.1", false},
		"IPv6":           {"[2001:db8::9]:2070", "2001:db8::1", true},
		"IPv6 multicast": {"[2001:db8::9]:2070", "ff02::1", false},
		"port 0":         {"192.0.2.9:0", "192.0.2.1", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := endpoint{client: mustAddrPort(test.client), ours: netip.MustParseAddr(test.ours)}
			if got := e.answerable(); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// Nothing but a request is answered, and none of this leaves anything behind.
func TestGarbage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		datagram  []byte
		malformed string
	}{
		"nothing":         {[]byte{}, "a datagram of 0 octets"},
		"one octet":       {[]byte{0}, "a datagram of 1 octets"},
		"operation 0":     {[]byte{0, 0, 'a', 0}, "operation 0, want 1 or 2"},
		"operation 7":     {[]byte{0, 7, 'a', 0}, "operation 7, want 1 or 2"},
		"no name":         {[]byte{0, 1}, "a request of 2 octets without file name and mode"},
		"name open":       {[]byte("\x00\x01name"), "a request of 6 octets without file name and mode"},
		"no mode":         {[]byte("\x00\x01name\x00"), "a request of 7 octets without file name and mode"},
		"mode open":       {[]byte("\x00\x01name\x00octet"), "a request of 12 octets without file name and mode"},
		"write, no mode":  {[]byte("\x00\x02name\x00"), "a request of 7 octets without file name and mode"},
		"too long":        {rrq(strings.Repeat("n", 2000)), "a request of 1501 octets without file name and mode"},
		"long padding":    {append(rrq("a"), make([]byte, 3000)...), "a request of more than 1500 octets"},
		"HTTP":            {[]byte("GET / HTTP/1.1\r\n\r\n"), "operation 18245, want 1 or 2"},
		"data":            {data(1, []byte("x")), ""},
		"ack":             {ack(1), ""},
		"short ack":       {[]byte{0, 4}, ""},
		"error":           {errorPacket(4, "no"), ""},
		"short error":     {[]byte{0, 5, 0}, ""},
		"options":         {oack("blksize", "512"), ""},
		"options, opened": {[]byte{0, 6, 'b'}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothPorts(t, func(t *testing.T, o Options) {
				o.BuiltIn = map[string][]byte{"a": []byte("x")}
				r := start(t, o)
				p := dial(t, r.Addr())
				p.send(test.datagram)
				p.silent(tick)
				if test.malformed != "" {
					tr := r.next(t)
					if tr.Outcome != Malformed || tr.Err.Error() != test.malformed {
						t.Errorf("got %s, %v", tr.Outcome, tr.Err)
					}
				}
				r.quiet(t)
				if n := r.sessions(); n != 0 {
					t.Errorf("%d sessions", n)
				}
				if d, err := p.get(rrq("a")); err != nil || string(d.bytes) != "x" {
					t.Errorf("afterwards: %q, %v", d.bytes, err)
				}
			})
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	tests := map[string]Options{
		"per client": {MaxPerClient: 3, MaxTransfers: 100},
		"in all":     {MaxPerClient: 100, MaxTransfers: 3},
	}
	for name, limits := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothPorts(t, func(t *testing.T, o Options) {
				o.MaxPerClient, o.MaxTransfers = limits.MaxPerClient, limits.MaxTransfers
				o.BuiltIn = map[string][]byte{"a": sample(600)}
				r := start(t, o)
				var peers []*peer
				for range 3 {
					p := dial(t, r.Addr())
					p.send(rrq("a"))
					p.want(data(1, sample(600)[:512]))
					peers = append(peers, p)
				}
				late := dial(t, r.Addr())
				late.send(rrq("a"))
				if tr := r.next(t); tr.Outcome != Busy || tr.Name != "a" || tr.Err.Error() != "too many transfers" {
					t.Errorf("got %+v", tr)
				}
				late.silent(2 * tick)
				peers[0].send(errorPacket(0, "enough"))
				if tr := r.next(t); tr.Outcome != Gone {
					t.Errorf("got %+v", tr)
				}
				if d, err := late.get(rrq("a")); err != nil || len(d.bytes) != 600 {
					t.Errorf("%d octets, %v", len(d.bytes), err)
				}
			})
		})
	}
}

func TestManyClients(t *testing.T) {
	t.Parallel()
	bothPorts(t, func(t *testing.T, o Options) {
		content := sample(20000)
		o.Dir = folder(t, map[string][]byte{"loader.efi": content})
		o.MaxPerClient = 1000
		r := start(t, o)
		var wg sync.WaitGroup
		for range 100 {
			p := dial(t, r.Addr())
			wg.Go(func() {
				d, err := p.get(rrq("loader.efi", "blksize", "1468", "windowsize", "4"))
				if err != nil || !bytes.Equal(d.bytes, content) {
					t.Errorf("%d octets, %v", len(d.bytes), err)
				}
			})
		}
		wg.Wait()
		for range 100 {
			if tr := r.next(t); tr.Outcome != Sent {
				t.Errorf("got %+v", tr)
			}
		}
		if n := r.sessions(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

func TestPanicIsContained(t *testing.T) {
	t.Parallel()
	bothPorts(t, func(t *testing.T, o Options) {
		ended := make(chan Transfer, 10)
		o.BuiltIn = map[string][]byte{"a": []byte("x")}
		o.OnTransfer = func(tr Transfer) {
			ended <- tr
			panic("callback")
		}
		r := start(t, o)
		p := dial(t, r.Addr())
		for range 2 {
			p.to = r.Addr()
			if d, err := p.get(rrq("a")); err != nil || string(d.bytes) != "x" {
				t.Errorf("got %q, %v", d.bytes, err)
			}
			if tr := <-ended; tr.Outcome != Sent {
				t.Errorf("got %+v", tr)
			}
		}
	})
}

// A panic within a transfer is that transfer's error.
func TestPanicInTransfer(t *testing.T) {
	t.Parallel()
	s := &Server{singlePort: true}
	e := newSession(context.Background(), endpoint{}, request{op: opRead, mode: "octet"})
	err := s.answer(e, nil)
	want := "panic: runtime error: invalid memory address or nil pointer dereference"
	if outcomeOf(err) != Failed || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
