package process

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A successor takes and serves when it takes over, in that order, and finds
// what it inherits until then.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := New()
	p.Inherit(map[string]*os.File{"TFTP :69": w})
	if p.Inherited("TFTP :69") != w || p.Inherited("TFTP :70") != nil {
		t.Error("not what was inherited")
	}
	did := make(chan string, 3)
	p.Serve(func(context.Context) { did <- "serves" })
	for _, name := range []string{"first", "second"} {
		if err := p.Take(func() error { did <- name; return nil }); err != nil {
			t.Error(err)
		}
	}
	if len(did) > 0 {
		t.Errorf("%d done before the predecessor has ended", len(did))
	}
	if err := p.TakeOver(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"first", "second", "serves"}, []string{<-did, <-did, <-did}); diff != "" {
		t.Error(diff)
	}
	if _, err := w.Write(nil); !errors.Is(err, os.ErrClosed) || p.Inherited("TFTP :69") != nil {
		t.Errorf("what was inherited stays open: %v", err)
	}
	p.Serve(func(context.Context) { did <- "serves at once" })
	if err := p.Take(func() error { return io.EOF }); err != io.EOF {
		t.Errorf("%v, want the error at once", err)
	}
	if got := <-did; got != "serves at once" {
		t.Error(got)
	}
	p.Stop()
}

// What cannot be taken ends the attempt: nothing is served.
func TestTakeOverFails(t *testing.T) {
	t.Parallel()
	p := New()
	p.Inherit(nil)
	p.Serve(func(context.Context) { t.Error("served") })
	_ = p.Take(func() error { return io.EOF })
	_ = p.Take(func() error { t.Error("taken after an error"); return nil })
	if err := p.TakeOver(); err != io.EOF {
		t.Error(err)
	}
	p.Stop()
}

func TestStakes(t *testing.T) {
	t.Parallel()
	p := New()
	var did []string
	note := func(what string, err error) func() error {
		return func() error { did = append(did, what); return err }
	}
	p.Hold(Stake{Yield: note("yield 1", io.EOF), Resume: note("resume 1", nil)})
	p.Hold(Stake{Yield: note("yield 2", nil), Leave: func(context.Context) { did = append(did, "leave") }})
	if err := p.Yield(); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want what one said", err)
	}
	if err := p.Resume(); err != nil {
		t.Error(err)
	}
	p.Leave(t.Context())
	if diff := cmp.Diff([]string{"yield 1", "yield 2", "resume 1", "leave"}, did); diff != "" {
		t.Error(diff)
	}
}

// The copy of a socket is the same socket: what one sends, the other's peer
// gets. The socket goes on working without a thread of its own.
func TestFiles(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := New()
	p.Hold(Stake{})
	p.Hold(Stake{Files: func() (map[string]*os.File, error) {
		f, err := Duplicate("status", conn)
		return map[string]*os.File{"status": f}, err
	}})
	files, err := p.Files()
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	defer files["status"].Close()
	_ = files["status"].Fd() // as starting a process does
	same, err := net.FilePacketConn(files["status"])
	if err != nil || same.LocalAddr().String() != conn.LocalAddr().String() {
		t.Fatalf("%v %v", same, err)
	}
	defer same.Close()
	if _, err := same.WriteTo([]byte("x"), conn.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2)
	if n, _, err := conn.ReadFrom(b); err != nil || !slices.Equal(b[:n], []byte("x")) {
		t.Errorf("%q %v", b[:n], err)
	}
	conn.Close()
	if _, err := Duplicate("status", conn); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
