package bootfile

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A successor takes the port over. It answers the requests from then on, and
// the transfers of the server that leaves go on, by whatever port they go.
func TestLeave(t *testing.T) {
	t.Parallel()
	for _, single := range []bool{false, true} {
		t.Run(fmt.Sprintf("single port %v", single), func(t *testing.T) {
			t.Parallel()
			o := Options{SinglePort: single, BuiltIn: map[string][]byte{"a": sample(1300)}}
			old := start(t, o)
			p := dial(t, old.Addr())
			p.send(rrq("a"))
			p.want(data(1, sample(1300)[:512]))

			o.Addr = old.Addr().String()
			o.Socket = copied(t, old.Conn())
			var err error
			if o.Strays, err = old.Strays(); err != nil {
				t.Fatal(err)
			}
			if (len(o.Strays) == 1) != single {
				t.Errorf("strays: %v", o.Strays)
			}
			successor := start(t, o)
			o.Socket.Close()
			for _, f := range o.Strays {
				f.Close()
			}
			var leaving sync.WaitGroup
			leaving.Go(func() { old.Leave(context.Background()) })
			d, err := dial(t, successor.Addr()).get(rrq("a"))
			if err != nil || string(d.bytes) != string(sample(1300)) {
				t.Errorf("%d octets of either server, %v", len(d.bytes), err)
			}
			p.send(ack(1))
			p.want(data(2, sample(1300)[512:1024]))
			p.send(ack(2))
			p.want(data(3, sample(1300)[1024:]))
			p.send(ack(3))
			leaving.Wait()
			for range 2 {
				select {
				case tr := <-old.ended:
					whole(t, tr)
				case tr := <-successor.ended:
					whole(t, tr)
				case <-time.After(patience):
					t.Fatal("no transfer ended")
				}
			}
			d, err = dial(t, successor.Addr()).get(rrq("a"))
			if err != nil || string(d.bytes) != string(sample(1300)) {
				t.Errorf("%d octets of the successor, %v", len(d.bytes), err)
			}
			whole(t, successor.next(t))
			old.quiet(t)
			successor.quiet(t)
		})
	}
}

func whole(t *testing.T, tr Transfer) {
	t.Helper()
	if tr.Outcome != Sent || tr.Sent != 1300 {
		t.Errorf("%+v", tr)
	}
}

// A transfer that does not end is not waited for without end; a server that
// ends stops it.
func TestLeaveIsBounded(t *testing.T) {
	t.Parallel()
	old := start(t, Options{BuiltIn: map[string][]byte{"a": sample(1300)}})
	p := dial(t, old.Addr())
	p.send(rrq("a"))
	p.want(data(1, sample(1300)[:512]))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	old.Leave(ctx)
	if err := old.stop(); err != nil {
		t.Error(err)
	}
	if tr := old.next(t); tr.Outcome != Failed {
		t.Errorf("%+v", tr)
	}
}

// copied is a copy of a socket, as a successor inherits it.
func copied(t *testing.T, conn any) *os.File {
	t.Helper()
	f, err := conn.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A successor of the HTTP server takes its port over.
func TestLeaveHTTP(t *testing.T) {
	t.Parallel()
	o := Options{BuiltIn: map[string][]byte{"a": []byte("x")}}
	old, _ := startHTTP(t, o)
	o.Socket = copied(t, old.Conn())
	successor, ended := startHTTP(t, o)
	o.Socket.Close()
	old.Leave(t.Context())
	if got, want := ask(t, successor, "GET /a"), "200 Content-Type: application/octet-stream; Content-Length: 1; Accept-Ranges: bytes; x"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if tr := <-ended; tr.Outcome != Sent || tr.Name != "/a" {
		t.Errorf("%+v", tr)
	}
}

// Who has a connection when the HTTP server leaves, and asks later, has its
// answer before the server has left.
func TestLeaveHTTPLater(t *testing.T) {
	t.Parallel()
	old, _ := startHTTP(t, Options{BuiltIn: map[string][]byte{"a": []byte("x")}})
	conn, err := net.Dial("tcp", old.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask(t, old, "GET /a") // it has accepted the one before
	left := make(chan struct{})
	go func() { old.Leave(t.Context()); close(left) }()
	select {
	case <-left:
		t.Error("it has left before")
	case <-time.After(50 * time.Millisecond):
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(conn, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(string(b), "\r\n\r\nx") {
		t.Errorf("%q %v", b, err)
	}
	<-left
}

// A client that never asks does not keep the HTTP server for longer than it
// wants.
func TestLeaveHTTPIsBounded(t *testing.T) {
	t.Parallel()
	old, _ := startHTTP(t, Options{})
	conn, err := net.Dial("tcp", old.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask(t, old, "GET /a") // it has accepted the one before
	ctx, cancel := context.WithTimeout(t.Context(), tick)
	defer cancel()
	old.Leave(ctx)
	if ctx.Err() == nil {
		t.Error("it did not wait for the client")
	}
}

// A socket of another kind is refused.
func TestInheritedWrong(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f := copied(t, conn)
	defer f.Close()
	if _, err := ListenHTTP(Options{Addr: "127.0.0.1:1", Socket: f}); err == nil {
		t.Error("a UDP socket is taken for a listener")
	}
}
