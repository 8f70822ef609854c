package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/config"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// soon is how long a test waits for what must happen.
const soon = 20 * time.Second

// loopback is a configuration that needs no privilege: any port of 127.0.0.1 and ::1.
func loopback() *config.Config {
	c := config.New()
	c.Server4 = &config.ServerConfig{Addresses: []net.UDPAddr{{IP: net.IPv4(127, 0, 0, 1)}}}
	c.Server6 = &config.ServerConfig{Addresses: []net.UDPAddr{{IP: net.IPv6loopback}}}
	return c
}

// A loopTest is a loop on loopback that runs, and a relay for each family.
type loopTest struct {
	*loop
	log *strings.Builder // to be read when the loop has ended
	end func() error
	v4  net.Conn
	v6  net.Conn
}

// startLoop runs a loop until the test ends.
func startLoop(t *testing.T, c chains, patient ...time.Duration) *loopTest {
	t.Helper()
	return startLoopOf(t, process.New(), c, patient...)
}

// startLoopOf does the same for a process.
func startLoopOf(t *testing.T, p *process.Process, c chains, patient ...time.Duration) *loopTest {
	t.Helper()
	lt := &loopTest{log: new(strings.Builder)}
	log := logrus.New()
	log.SetOutput(lt.log)
	var err error
	if lt.loop, err = listen(p, loopback(), nil, logrus.NewEntry(log)); err != nil {
		t.Fatal(err)
	}
	if len(patient) > 0 {
		lt.patience = patient[0]
	}
	lt.begin(t, c)
	t.Cleanup(func() {
		_ = lt.end()
		if err := lt.close(); err != nil {
			t.Error(err)
		}
	})
	lt.v6, lt.v4 = dial(t, lt.sockets[0]), dial(t, lt.sockets[1])
	return lt
}

// begin runs the loop with chains until end is called.
func (lt *loopTest) begin(t *testing.T, c chains) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- lt.run(ctx, c) }()
	lt.end = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(soon):
			t.Fatal("the loop does not end")
			return nil
		}
	})
}

// dial connects to a socket of the loop.
func dial(t *testing.T, s *socket) net.Conn {
	t.Helper()
	var port int
	if err := s.control(func(fd int) error {
		name, err := unix.Getsockname(fd)
		switch a := name.(type) {
		case *unix.SockaddrInet4:
			port = a.Port
		case *unix.SockaddrInet6:
			port = a.Port
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.addr.Addr(), uint16(port))))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(8 << 20)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// relayed is a message that comes from a relay at 127.0.0.1 with a port of its own.
func relayed(t testing.TB, kind dhcpv4.MessageType, n int, with ...dhcpv4.Modifier) []byte {
	m := request4(t, kind, append(with, generic(82, 19, 0), dhcpv4.WithGatewayIP(net.IPv4(127, 0, 0, 1)))...)
	binary.BigEndian.PutUint32(m.TransactionID[:], uint32(n))
	return m.ToBytes()
}

// address is a link that gives everybody an address.
func address(_, resp *dhcpv4.DHCPv4, _ process.Origin) (*dhcpv4.DHCPv4, bool) {
	resp.YourIPAddr = net.IPv4(192, 0, 2, 11)
	return resp, true
}

func send(t *testing.T, conn net.Conn, octets []byte) {
	t.Helper()
	if _, err := conn.Write(octets); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next reply.
func receive(t *testing.T, conn net.Conn) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.FromBytes(receiveOctets(t, conn))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func receiveOctets(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	room := make([]byte, 2048)
	_ = conn.SetReadDeadline(time.Now().Add(soon))
	n, err := conn.Read(room)
	if err != nil {
		t.Fatal(err)
	}
	return room[:n]
}

// numbers returns the transaction numbers of so many replies.
func numbers(t *testing.T, conn net.Conn, n int) map[int]bool {
	t.Helper()
	got := make(map[int]bool)
	for range n {
		m := receive(t, conn)
		got[int(binary.BigEndian.Uint32(m.TransactionID[:]))] = true
	}
	return got
}

// value returns what a counter counted.
func value(c prometheus.Counter) float64 {
	var m dto.Metric
	_ = c.Write(&m)
	return m.GetCounter().GetValue()
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("not within %v: %s", soon, what)
			return
		}
	}
}

// A relay with a port of its own gets the reply there (RFC 8357): the chain's
// reply, option 82 last, and padded. The chain is told the origin.
func TestRelayedReply(t *testing.T) {
	t.Parallel()
	origins := make(chan process.Origin, 1)
	lt := startLoop(t, chains{v4: []link4{
		func(_, resp *dhcpv4.DHCPv4, _ process.Origin) (*dhcpv4.DHCPv4, bool) {
			resp.UpdateOption(dhcpv4.OptServerIdentifier(net.IPv4(127, 0, 0, 1)))
			return resp, false
		},
		func(req, resp *dhcpv4.DHCPv4, from process.Origin) (*dhcpv4.DHCPv4, bool) {
			origins <- from
			return address(req, resp, from)
		},
	}})
	send(t, lt.v4, relayed(t, dhcpv4.MessageTypeDiscover, 7, generic(61, 1, 2)))
	octets := receiveOctets(t, lt.v4)
	want := "020106000000000700000000" + "00000000" + "c000020b" + "00000000" + "7f000001" + "020000000001" + strings.Repeat("00", 10+64+128) +
		"63825363" + "350102" + "36047f000001" + "3d020102" + "52021300" + "ff"
	want += strings.Repeat("0", 600-len(want))
	if diff := cmp.Diff(want, fmt.Sprintf("%x", octets)); diff != "" {
		t.Errorf("reply (-want +got):\n%s", diff)
	}
	here := lt.v4.LocalAddr().(*net.UDPAddr).AddrPort()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	got := <-origins
	if got.Interface != "lo" || got.Index != lo.Index || got.Peer != here || got.Dst != here.Addr() || len(got.Networks) == 0 {
		t.Errorf("origin %+v", got)
	}
}

// What the chain hands back does not always leave.
func TestEndOfChain(t *testing.T) {
	t.Parallel()
	var seen sync.Map
	lt := startLoop(t, chains{v4: []link4{func(req, resp *dhcpv4.DHCPv4, _ process.Origin) (*dhcpv4.DHCPv4, bool) {
		seen.Store(req.MessageType(), resp.MessageType())
		switch req.TransactionID[3] {
		case 1:
			resp.YourIPAddr = net.IPv4(192, 0, 2, 11)
		case 2:
			return nil, true
		}
		return resp, false
	}}})
	for n, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeDecline, dhcpv4.MessageTypeNone, dhcpv4.MessageType(10)} {
		send(t, lt.v4, relayed(t, kind, 0x100*n+1)) // with an address, and never answered
	}
	send(t, lt.v4, relayed(t, dhcpv4.MessageTypeDiscover, 0x1000)) // no address
	send(t, lt.v4, relayed(t, dhcpv4.MessageTypeRequest, 0x1100))  // no address
	send(t, lt.v4, relayed(t, dhcpv4.MessageTypeRequest, 0x1102))  // the plugin is silent
	reply := request4(t, dhcpv4.MessageTypeOffer)
	reply.OpCode = dhcpv4.OpcodeBootReply
	send(t, lt.v4, reply.ToBytes())
	send(t, lt.v4, []byte("garbage"))
	send(t, lt.v4, relayed(t, dhcpv4.MessageTypeInform, 0x1200)) // needs no address
	if got := receive(t, lt.v4); got.MessageType() != dhcpv4.MessageTypeAck || got.TransactionID[2] != 0x12 {
		t.Errorf("the first reply is %s, want that to the INFORM", got.Summary())
	}
	if err := lt.end(); err != nil {
		t.Error(err)
	}
	want := map[reason]float64{noReply: 2, badType: 2, noAddress: 2, silence: 1, notRequest: 1, malformed: 1}
	got := make(map[reason]float64)
	for r, c := range lt.metrics.v4.dropped {
		if n := value(c); n > 0 {
			got[r] = n
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	kinds := make(map[string]string)
	seen.Range(func(k, v any) bool { kinds[fmt.Sprint(k)] = fmt.Sprint(v); return true })
	if diff := cmp.Diff(map[string]string{
		"RELEASE": "unknown (0)", "DECLINE": "unknown (0)", "DISCOVER": "OFFER", "REQUEST": "ACK", "INFORM": "ACK",
	}, kinds); diff != "" {
		t.Errorf("what the chain saw (-want +got):\n%s", diff)
	}
}

// A handler that blocks holds up nobody else, and does not lose its own reply.
func TestBlockedHandler(t *testing.T) {
	t.Parallel()
	holdUpNobody(t, patience, func(process.Origin) {})
}

// A handler that says it waits lets the packets behind it go on at once, however
// patient the loop is.
func TestWaitingHandler(t *testing.T) {
	t.Parallel()
	holdUpNobody(t, time.Hour, func(from process.Origin) {
		if from.Waits != nil {
			from.Waits()
		}
	})
}

// holdUpNobody has a handler that waits for half of the packets, after a word to
// the loop.
func holdUpNobody(t *testing.T, patient time.Duration, tell func(process.Origin)) {
	t.Helper()
	release := make(chan struct{})
	lt := startLoop(t, chains{v4: []link4{func(req, resp *dhcpv4.DHCPv4, from process.Origin) (*dhcpv4.DHCPv4, bool) {
		if req.TransactionID[3]%2 == 0 {
			tell(from)
			<-release
		}
		return address(req, resp, from)
	}}}, patient)
	for n := range 200 {
		send(t, lt.v4, relayed(t, dhcpv4.MessageTypeDiscover, n))
	}
	for n := range numbers(t, lt.v4, 100) {
		if n%2 == 0 {
			t.Errorf("%d was answered, whose handler waits", n)
		}
	}
	close(release)
	if got := numbers(t, lt.v4, 100); len(got) != 100 {
		t.Errorf("%d of 100 replies after the handlers went on", len(got))
	}
}

// A batch that takes long because it is long is not dealt out: as many handlers
// are at work as there are workers.
func TestLongBatch(t *testing.T) {
	t.Parallel()
	var inside, most atomic.Int64
	lt := startLoop(t, chains{v4: []link4{func(req, resp *dhcpv4.DHCPv4, from process.Origin) (*dhcpv4.DHCPv4, bool) {
		if n := inside.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(5 * time.Millisecond)
		inside.Add(-1)
		return address(req, resp, from)
	}}}, 200*time.Millisecond)
	const sent = 2 * batchSize
	for n := range sent {
		send(t, lt.v4, relayed(t, dhcpv4.MessageTypeDiscover, n))
	}
	if got := numbers(t, lt.v4, sent); len(got) != sent {
		t.Errorf("%d of %d replies", len(got), sent)
	}
	if workers := int64(min(runtime.GOMAXPROCS(0), maxWorkers)); most.Load() > workers {
		t.Errorf("%d handlers at once, want at most %d", most.Load(), workers)
	}
}

// On one core a storm leaves room for what else the network has for the process:
// an echo on another socket goes back and forth while the loop has work all the
// time. Go by itself looks at the network every ten milliseconds then.
func TestStormLeavesRoom(t *testing.T) { // not parallel: it takes a core from all
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const work = 20 * time.Microsecond
	var handled, rounds atomic.Int64
	l, err := listen(process.New(), loopback(), nil, logrus.NewEntry(logrus.New()))
	if err != nil {
		t.Fatal(err)
	}
	lt := &loopTest{loop: l}
	t.Cleanup(func() { _ = l.close() })
	conn := dial(t, l.sockets[1])
	sent := fits(t, l.sockets[1], 8192)
	for n := range sent {
		send(t, conn, relayed(t, dhcpv4.MessageTypeDiscover, n))
	}
	near, far := echoes(t)
	go func() {
		for room := []byte{0}; ; rounds.Add(1) {
			if _, err := near.Write(room); err != nil {
				return
			}
			if _, err := near.Read(room); err != nil {
				return
			}
		}
	}()
	atEnd := make(chan int64, 1)
	lt.begin(t, chains{v4: []link4{func(_, _ *dhcpv4.DHCPv4, _ process.Origin) (*dhcpv4.DHCPv4, bool) {
		for began := time.Now(); time.Since(began) < work; {
		}
		if handled.Add(1) == int64(sent) {
			atEnd <- rounds.Load()
		}
		return nil, true
	}}})
	select {
	case got := <-atEnd:
		if want := int64(sent / breath / 2); got < want { // it needs two looks at the network
			t.Errorf("the echo went %d times back and forth during %d packets, want at least %d", got, sent, want)
		}
	case <-time.After(soon):
		t.Errorf("%d packets of %d", handled.Load(), sent)
	}
	_ = far.Close()
	if err := lt.end(); err != nil {
		t.Error(err)
	}
}

// fits returns how many of so many packets the receive buffer surely holds: it is
// small where nobody may force it.
func fits(t *testing.T, s *socket, packets int) (n int) {
	t.Helper()
	const each = 4096 // as the kernel counts
	if err := s.control(func(fd int) error {
		octets, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		n = min(packets, octets/each)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// echoes returns a socket, and one that sends back to it what it gets.
func echoes(t *testing.T) (near, far *net.UDPConn) {
	t.Helper()
	far, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if near, err = net.DialUDP("udp", nil, far.LocalAddr().(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	go func() {
		room := make([]byte, 1)
		for {
			_, from, err := far.ReadFromUDPAddrPort(room)
			if err != nil {
				return
			}
			_, _ = far.WriteToUDPAddrPort(room, from)
		}
	}()
	return near, far
}

// No more than 4096 packets are in the chains; what comes on top is dropped and
// counted, and all is well afterwards.
func TestFlightIsBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var inside, most atomic.Int64
	lt := startLoop(t, chains{v4: []link4{func(req, resp *dhcpv4.DHCPv4, from process.Origin) (*dhcpv4.DHCPv4, bool) {
		if n := inside.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		inside.Add(-1)
		return address(req, resp, from)
	}}})
	const sent = maxFlight + 500
	taken := func() float64 { return value(lt.metrics.v4.received) }
	for n := range sent {
		send(t, lt.v4, relayed(t, dhcpv4.MessageTypeDiscover, n))
		if n%100 == 0 { // the buffer may be small where nobody may force it
			eventually(t, "packets are read", func() bool { return taken() > float64(n) })
		}
	}
	dropped := func() float64 { return value(lt.metrics.v4.dropped[tooMany]) }
	eventually(t, "all are read", func() bool { return inside.Load() == maxFlight && dropped() == sent-maxFlight })
	close(release)
	eventually(t, "all are answered", func() bool { return value(lt.metrics.v4.sent) == maxFlight })
	if dropped() != sent-maxFlight || most.Load() != maxFlight {
		t.Errorf("%v dropped, at most %d inside; want %d and %d", dropped(), most.Load(), sent-maxFlight, maxFlight)
	}
	eventually(t, "none is in flight", func() bool { return lt.flight.Load() == 0 })
}

// A panic costs one packet, which is in the log.
func TestPanicIsContained(t *testing.T) {
	t.Parallel()
	lt := startLoop(t, chains{
		v4: []link4{func(req, resp *dhcpv4.DHCPv4, from process.Origin) (*dhcpv4.DHCPv4, bool) {
			if req.TransactionID[3] == 1 {
				panic("broken plugin")
			}
			return address(req, resp, from)
		}},
		v6: []link6{func(_, _ dhcpv6.DHCPv6, _ process.Origin) (dhcpv6.DHCPv6, bool) { panic("broken plugin") }},
	})
	culprit := relayed(t, dhcpv4.MessageTypeDiscover, 1)
	send(t, lt.v4, culprit)
	culprit6 := solicit(t).ToBytes()
	send(t, lt.v6, culprit6)
	send(t, lt.v4, relayed(t, dhcpv4.MessageTypeDiscover, 2))
	if got := numbers(t, lt.v4, 1); !got[2] {
		t.Errorf("replies to %v", got)
	}
	eventually(t, "two panics", func() bool { return value(lt.metrics.panics) == 2 })
	if err := lt.end(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{fmt.Sprintf("packet=%x", culprit), fmt.Sprintf("packet=%x", culprit6), `panic="broken plugin"`, "packet dropped after a panic"} {
		if !strings.Contains(lt.log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, lt.log)
		}
	}
}

// The end answers those in flight; what comes then waits for the next run.
func TestEndAnswersThoseInFlight(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}, 1), make(chan struct{})
	lt := startLoop(t, chains{v4: []link4{func(req, resp *dhcpv4.DHCPv4, from process.Origin) (*dhcpv4.DHCPv4, bool) {
		entered <- struct{}{}
		<-release
		return address(req, resp, from)
	}}})
	send(t, lt.v4, relayed(t, dhcpv4.MessageTypeDiscover, 1))
	<-entered
	time.AfterFunc(10*time.Millisecond, func() { close(release) })
	if err := lt.end(); err != nil {
		t.Error(err)
	}
	send(t, lt.v4, relayed(t, dhcpv4.MessageTypeDiscover, 2))
	if got := numbers(t, lt.v4, 1); !got[1] {
		t.Errorf("replies to %v, want 1", got)
	}
	lt.begin(t, chains{v4: []link4{address}})
	if got := numbers(t, lt.v4, 1); !got[2] {
		t.Errorf("replies to %v, want 2", got)
	}
}

// A plugin that never comes back does not hold up the end.
func TestEndDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	lt := startLoop(t, chains{v4: []link4{func(_, _ *dhcpv4.DHCPv4, _ process.Origin) (*dhcpv4.DHCPv4, bool) {
		close(entered)
		<-release
		return nil, true
	}}})
	send(t, lt.v4, relayed(t, dhcpv4.MessageTypeDiscover, 1))
	<-entered
	err := lt.end()
	if want := "1 packets were still in the plugins after 3s"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	close(release)
	eventually(t, "the packet is through", func() bool { return lt.flight.Load() == 0 })
}

// A successor takes the sockets over with what waits in them.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	first := startLoop(t, chains{v4: []link4{address}})
	send(t, first.v4, relayed(t, dhcpv4.MessageTypeDiscover, 1))
	numbers(t, first.v4, 1)
	if err := first.end(); err != nil {
		t.Error(err)
	}
	send(t, first.v4, relayed(t, dhcpv4.MessageTypeDiscover, 2))
	files, err := first.files()
	if err != nil {
		t.Fatal(err)
	}
	second := &loopTest{}
	if second.loop, err = listen(process.New(), loopback(), files, first.loop.log); err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		if err := f.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	second.begin(t, chains{v4: []link4{address}})
	if got := numbers(t, first.v4, 1); !got[2] {
		t.Errorf("replies to %v, want 2", got)
	}
	if err := second.end(); err != nil {
		t.Error(err)
	}
	if err := second.close(); err != nil {
		t.Error(err)
	}
}

// Goroutines do not grow with packets.
func TestGoroutinesAreStable(t *testing.T) {
	lt := startLoop(t, chains{v4: []link4{func(req, resp *dhcpv4.DHCPv4, from process.Origin) (*dhcpv4.DHCPv4, bool) {
		if req.TransactionID[3] == 0 {
			time.Sleep(2 * patience) // every 256th is slow: batches are dealt out
		}
		return address(req, resp, from)
	}}})
	count := func() int {
		for range 100 {
			runtime.Gosched()
		}
		return runtime.NumGoroutine()
	}
	round := func(packets int) {
		for n := 0; n < packets; n += 100 {
			for i := range 100 {
				send(t, lt.v4, relayed(t, dhcpv4.MessageTypeDiscover, n+i))
			}
			numbers(t, lt.v4, 100)
		}
		eventually(t, "none is in flight", func() bool { return lt.flight.Load() == 0 })
	}
	round(1000)
	before := count()
	round(manyPackets)
	eventually(t, "as many goroutines as before", func() bool { return count() <= before })
}
