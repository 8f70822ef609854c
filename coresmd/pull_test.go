package coresmd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

const newNode = "02:00:00:00:00:02"

// asked is an SMD that has node, and newNode when asked for it by name.
func asked(t *testing.T, questions *atomic.Int64) *httptest.Server {
	t.Helper()
	smd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		macs := r.URL.Query()["MACAddress"]
		switch {
		case strings.HasSuffix(r.URL.Path, "Components"):
			fmt.Fprint(w, testComponents)
		case len(macs) == 0:
			fmt.Fprint(w, inventoryOf(1))
		default:
			questions.Add(1)
			if slices.Contains(macs, newNode) {
				fmt.Fprint(w, inventoryOf(2))
				return
			}
			fmt.Fprint(w, "[]")
		}
	}))
	t.Cleanup(smd.Close)
	return smd
}

// TestNewNode has a machine that SMD learnt of after the poll: its first
// DISCOVER is answered. Known machines and releases ask nothing.
func TestNewNode(t *testing.T) {
	t.Parallel()
	var questions atomic.Int64
	b := newBench(t, "svc_base_uri="+asked(t, &questions).URL, "ipxe_base_uri=http://bss", "cache_valid=1h", "snapshot_file=off", "lookup_wait=5s")
	b.p.ReleaseTaken.Store(true)
	var got []string
	for _, mac := range []string{node, newNode, newNode, strange, strange} {
		reply, ended := dhcptest.Exchange4(t, dhcptest.Request4(t, mac, discover), dhcptest.ServerID("192.0.2.1"), b.handle)
		text := word(reply, ended, "")
		got = append(got, fmt.Sprintf("%s %s after %d questions", mac, text, questions.Load()))
	}
	dhcptest.Exchange4(t, dhcptest.Request4(t, "02:00:00:00:00:98", release, ciaddr("192.0.2.201")), dhcptest.ServerID("192.0.2.1"), b.handle)
	want := []string{
		node + " OFFER of 192.0.2.11 after 0 questions",
		newNode + " OFFER of 192.0.2.12 after 1 questions",
		newNode + " OFFER of 192.0.2.12 after 1 questions",
		strange + " passed on after 2 questions",
		strange + " passed on after 2 questions",
	}
	if diff := cmp.Diff(want, got); diff != "" || questions.Load() != 2 {
		t.Errorf("%d questions (-want +got):\n%s", questions.Load(), diff)
	}
}

// TestWaitingPackets has an SMD that hangs: no more packets wait than there is
// room for, over that a DISCOVER is dropped and other messages are passed on.
func TestWaitingPackets(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	smd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Has("MACAddress"):
			<-hang
		case strings.HasSuffix(r.URL.Path, "Components"):
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, testComponents)
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, inventoryOf(1))
		}
	}))
	t.Cleanup(smd.Close)
	t.Cleanup(func() { close(hang) })
	b := newBench(t, "svc_base_uri="+smd.URL, "ipxe_base_uri=http://bss", "cache_valid=1h", "snapshot_file=off", "lookup_wait=3s")
	ask := func(mac string, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) string {
		reply, ended := dhcptest.Exchange4(t, dhcptest.Request4(t, mac, kind, with...), dhcptest.ServerID("192.0.2.1"), b.handle)
		return word(reply, ended, "192.0.2.11")
	}
	waiting := make(chan string, 1000)
	for i := range cap(waiting) {
		go func() { waiting <- ask(fmt.Sprintf("02:01:00:00:%02x:%02x", i>>8, i&0xff), discover) }()
	}
	for range cap(waiting) - 512 {
		if got := <-waiting; got != "silence" {
			t.Errorf("over the budget: %s", got)
		}
	}
	if got := ask(strange, request, ciaddr("192.0.2.99")); got != "passed on" {
		t.Errorf("a renewal over the budget: %s", got)
	}
	if got := ask(node, discover); got != "OFFER" {
		t.Errorf("a known machine: %s", got)
	}
	for range 512 {
		if got := <-waiting; got != "passed on" {
			t.Errorf("after the wait: %s", got)
		}
	}
}
