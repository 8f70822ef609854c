package test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// The network of a storm, and the relay address in it that the generator has.
const (
	stormNet     = "198.18.0.0/16"
	stormGateway = "198.18.0.1"
)

// A storm is many scripted clients behind one relay address. It knows what the server has
// promised them: an address belongs to the client of its last ACK until that client is about
// to let it go.
type storm struct {
	host *dhcptest.Namespace
	conn net.PacketConn // at the relay address

	mu       sync.Mutex // guards all up to reached
	waiting  map[dhcpv4.TransactionID]chan *dhcpv4.DHCPv4
	promised map[int]netip.Addr // by machine
	holder   map[netip.Addr]int
	errs     []error

	enough   int           // ACKs until the server is to be killed
	reached  chan struct{} // closed then
	next     atomic.Int64  // number of the next new machine
	machines []int         // of the clients, now
}

// newStorm makes the generator's host beside the server. There are stay clients that run the
// handshake over and over, and as many that take turns: each gives its lease back at times and
// is another machine after that.
func newStorm(s *site, stay int) *storm {
	s.t.Helper()
	const addr = "192.0.2.4"
	ns := s.net.Namespace("storm")
	ns.Attach(s.lan, "eth0", dhcptest.MAC(0x300), netip.MustParsePrefix(addr+"/24"))
	ns.IP("addr", "add", stormGateway+"/32", "dev", "lo")
	s.server.IP("route", "add", stormNet, "via", addr)
	conn, err := ns.ListenPacket("udp4", stormGateway+":67")
	if err != nil {
		s.t.Fatal(err)
	}
	w := &storm{host: ns, conn: conn, waiting: map[dhcpv4.TransactionID]chan *dhcpv4.DHCPv4{}}
	w.forget()
	w.next.Store(0x1000)
	for range 2 * stay {
		w.machines = append(w.machines, w.newMachine())
	}
	var reading sync.WaitGroup
	reading.Go(w.read)
	s.t.Cleanup(func() { conn.Close(); reading.Wait() })
	return w
}

func (w *storm) newMachine() int { return int(w.next.Add(1)) }

// forget drops all promises.
func (w *storm) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.promised, w.holder = map[int]netip.Addr{}, map[netip.Addr]int{}
}

// read hands replies to those who wait for them, until the socket is closed.
func (w *storm) read() {
	buf := make([]byte, 1500)
	for {
		n, _, err := w.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			w.fail(err)
			return
		}
		reply, err := dhcpv4.FromBytes(buf[:n])
		if err != nil {
			w.fail(err)
			continue
		}
		w.mu.Lock()
		c := w.waiting[reply.TransactionID]
		w.mu.Unlock()
		select {
		case c <- reply:
		default: // nobody waits, or somebody has one already
		}
	}
}

func (w *storm) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs = append(w.errs, err)
}

// report reports what has gone wrong so far.
func (w *storm) report(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, err := range w.errs {
		if i == 10 {
			t.Errorf("and %d more", len(w.errs)-i)
			break
		}
		t.Error(err)
	}
	w.errs = nil
}

// message makes a message as the relay passes it on.
func message(machine int, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	req, err := dhcpv4.New(append(with, dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(dhcptest.MAC(machine)), dhcptest.Relay(stormGateway))...)
	if err != nil {
		panic(err) // there are no random numbers
	}
	return req
}

func (w *storm) send(req *dhcpv4.DHCPv4) {
	server := net.UDPAddrFromAddrPort(netip.AddrPortFrom(serverIP, dhcpv4.ServerPort))
	if _, err := w.conn.WriteTo(req.ToBytes(), server); err != nil {
		w.fail(err)
	}
}

// exchange sends a message, again as clients do, until it is answered; nil is silence.
func (w *storm) exchange(req *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	return w.try(req, 3, 500*time.Millisecond)
}

// try sends a message up to so many times, and waits for the answer each time; nil is silence.
func (w *storm) try(req *dhcpv4.DHCPv4, times int, patience time.Duration) *dhcpv4.DHCPv4 {
	answer := make(chan *dhcpv4.DHCPv4, 1)
	w.mu.Lock()
	w.waiting[req.TransactionID] = answer
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.waiting, req.TransactionID)
		w.mu.Unlock()
	}()
	for range times {
		w.send(req)
		select {
		case reply := <-answer:
			return reply
		case <-time.After(patience):
		}
	}
	return nil
}

// discover returns the address on offer; the zero Addr is silence.
func (w *storm) discover(machine int) netip.Addr {
	offer := w.exchange(message(machine, dhcpv4.MessageTypeDiscover))
	switch {
	case offer == nil:
		return netip.Addr{}
	case offer.MessageType() != dhcpv4.MessageTypeOffer:
		w.fail(fmt.Errorf("machine %x: DISCOVER answered with %v", machine, offer.MessageType()))
		return netip.Addr{}
	}
	return address(offer)
}

func address(reply *dhcpv4.DHCPv4) netip.Addr {
	a, _ := netip.AddrFromSlice(reply.YourIPAddr.To4())
	return a
}

// dora runs the handshake and tells whether it ended in a lease. A silent or refused REQUEST
// is no mistake in a storm.
func (w *storm) dora(machine int) bool {
	offer := w.discover(machine)
	if !offer.IsValid() {
		return false
	}
	w.mu.Lock()
	had, other := w.promised[machine], w.holder[offer]
	w.mu.Unlock()
	if had.IsValid() && had != offer {
		w.fail(fmt.Errorf("machine %x, which holds %v, is offered %v", machine, had, offer))
	}
	if other != 0 && other != machine {
		w.fail(fmt.Errorf("machine %x is offered %v of machine %x", machine, offer, other))
	}
	ack := w.exchange(message(machine, dhcpv4.MessageTypeRequest, dhcptest.Server(serverIP.String()), dhcptest.Requested(offer.String())))
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck {
		return false
	}
	w.granted(machine, address(ack))
	return true
}

// granted enters an ACK into what is promised.
func (w *storm) granted(machine int, addr netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.enough--; w.enough == 0 {
		close(w.reached)
	}
	if other, taken := w.holder[addr]; taken && other != machine {
		w.errs = append(w.errs, fmt.Errorf("machine %x is given %v of machine %x", machine, addr, other))
	}
	if had, ok := w.promised[machine]; ok && had != addr {
		w.errs = append(w.errs, fmt.Errorf("machine %x, which holds %v, is given %v", machine, had, addr))
		delete(w.holder, had)
	}
	w.promised[machine], w.holder[addr] = addr, machine
}

// release gives a lease back. The promise ends before the server can know.
func (w *storm) release(machine int) {
	w.mu.Lock()
	addr := w.promised[machine]
	delete(w.promised, machine)
	delete(w.holder, addr)
	w.mu.Unlock()
	w.send(message(machine, dhcpv4.MessageTypeRelease, dhcptest.Ciaddr(addr.String()), dhcptest.Server(serverIP.String())))
}

// client is one client of the storm until ctx ends. A machine that has released its lease never
// comes back: its packets may overtake each other in the server.
func (w *storm) client(ctx context.Context, n int) {
	takesTurns := n >= len(w.machines)/2
	for turn := 0; ctx.Err() == nil; turn++ {
		bound := w.dora(w.machines[n])
		if bound && takesTurns && turn%2 == 1 {
			w.release(w.machines[n])
			w.machines[n] = w.newMachine()
		}
	}
}

// rage runs all clients until there are that many ACKs, and kills the server that moment.
func (w *storm) rage(t *testing.T, dhcp *dhcptest.Process, acks int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.mu.Lock()
	w.enough, w.reached = acks, make(chan struct{})
	w.mu.Unlock()
	began := time.Now()
	var clients sync.WaitGroup
	for n := range w.machines {
		clients.Go(func() { w.client(ctx, n) })
	}
	select {
	case <-w.reached:
	case <-time.After(20 * time.Second):
		t.Errorf("fewer than %d ACKs in 20 s", acks)
	}
	took := time.Since(began)
	dhcp.Kill9()
	cancel()
	clients.Wait() // they still read what was sent before the end
	w.report(t)
	t.Logf("%d leases in %.1f s; when the server was killed %d machines held one", acks, took.Seconds(), len(w.promised))
}

// each calls f for all machines that were promised an address, side by side.
func (w *storm) each(f func(machine int, addr netip.Addr)) {
	var running sync.WaitGroup
	for machine, addr := range w.promised {
		running.Go(func() { f(machine, addr) })
	}
	running.Wait()
}

// confirmed wants every promised address that lies in the pool to be confirmed to a machine that
// reboots, and to be what it is offered when it starts anew.
func (w *storm) confirmed(t *testing.T, pool func(netip.Addr) bool) {
	t.Helper()
	w.each(func(machine int, addr netip.Addr) {
		if !pool(addr) {
			return
		}
		reply := w.exchange(message(machine, dhcpv4.MessageTypeRequest, dhcptest.Requested(addr.String())))
		switch {
		case reply == nil:
			w.fail(fmt.Errorf("machine %x, which holds %v: silence", machine, addr))
		case reply.MessageType() != dhcpv4.MessageTypeAck || address(reply) != addr:
			w.fail(fmt.Errorf("machine %x, which holds %v: %v %v", machine, addr, reply.MessageType(), address(reply)))
		}
		if offer := w.discover(machine); offer != addr {
			w.fail(fmt.Errorf("machine %x, which holds %v, is offered %q", machine, addr, offer))
		}
	})
	w.report(t)
}

// serve has machines run the handshake side by side and returns how many have a lease, which
// must be of the pool.
func (w *storm) serve(t *testing.T, machines []int, pool func(netip.Addr) bool) int {
	t.Helper()
	var asking sync.WaitGroup
	var served atomic.Int64
	for _, machine := range machines {
		asking.Go(func() {
			if !w.dora(machine) {
				return
			}
			served.Add(1)
			w.mu.Lock()
			addr := w.promised[machine]
			w.mu.Unlock()
			if !pool(addr) {
				w.fail(fmt.Errorf("machine %x is given %v, which is not of the pool", machine, addr))
			}
		})
	}
	asking.Wait()
	w.report(t)
	return int(served.Load())
}

// strangers returns machines that were never seen.
func (w *storm) strangers(n int) []int {
	machines := make([]int, n)
	for i := range machines {
		machines[i] = w.newMachine()
	}
	return machines
}

// within returns a function that tells the addresses from first to last from others.
func within(first, last string) func(netip.Addr) bool {
	from, to := netip.MustParseAddr(first), netip.MustParseAddr(last)
	return func(a netip.Addr) bool { return a.IsValid() && !a.Less(from) && !to.Less(a) }
}

// saysOutside is the line of a lease of a pool that is no more.
const saysOutside = `level=warning.*outside today's pools`

// The server is killed in the middle of a storm, three times, and starts on the lease file that it
// left: every lease that was acknowledged is there and nobody else has its address. Then the
// pool shrinks, and then it moves: the server warns of the leases that it leaves out, and
// serves.
func TestKillInStorm(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	pool := func(first, last string) *dhcptest.Process {
		return l.run("lease_time=1h", "offer_time=2s", "renew=ack", "subnet="+stormNet+",pool:"+first+"-"+last)
	}
	w := newStorm(l.site, 150) // 300 clients, 200 addresses
	whole, half, moved := within("198.18.0.10", "198.18.0.209"), within("198.18.0.10", "198.18.0.109"), within("198.18.1.10", "198.18.1.209")
	dhcp := pool("198.18.0.10", "198.18.0.209")
	for _, acks := range []int{10, 30, 4000} { // at the first leases ever, and later on
		w.rage(t, dhcp, acks)
		dhcp = pool("198.18.0.10", "198.18.0.209")
		w.confirmed(t, whole)
		if warnings := grep(dhcp.Log(), `level=(warning|error).*lease file`); warnings != "" {
			t.Errorf("the lease file was damaged:\n%s", warnings)
		}
		w.serve(t, w.strangers(20), whole)
	}
	dhcp.Kill9()

	dhcp = pool("198.18.0.10", "198.18.0.109")
	w.wantWarnings(t, dhcp, half)
	w.confirmed(t, half)
	w.serve(t, w.strangers(20), half)
	dhcp.Kill9()

	dhcp = pool("198.18.1.10", "198.18.1.209")
	w.wantWarnings(t, dhcp, moved)
	machines := slices.Collect(maps.Keys(w.promised))
	w.forget()
	if n := w.serve(t, machines, moved); n != len(machines) {
		t.Errorf("%d of %d machines have an address of the new pool", n, len(machines))
	}
	w.confirmed(t, moved)
}

// wantWarnings wants a warning for every promised address outside the pool.
func (w *storm) wantWarnings(t *testing.T, dhcp *dhcptest.Process, pool func(netip.Addr) bool) {
	t.Helper()
	outside := 0
	for _, addr := range w.promised {
		if !pool(addr) {
			outside++
		}
	}
	if n := countLines(dhcp.Log(), saysOutside); outside == 0 || n < outside {
		t.Errorf("%d warnings, want one for each of %d leases outside the pool:\n%s", n, outside, grep(dhcp.Log(), `lease file`))
	}
}

// A relayed client that renews by unicast is told what it was told at first, also the router
// that followed from the relay address, which is not in its renewal.
func TestUnicastRenewal(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	l.run("lease_time=1h", "renew=ack", "subnet="+stormNet+",pool:198.18.0.10-198.18.0.19")
	w := newStorm(l.site, 0)
	machine := w.newMachine()
	offer := w.discover(machine)
	want := w.exchange(message(machine, dhcpv4.MessageTypeRequest, dhcptest.Server(serverIP.String()), dhcptest.Requested(offer.String())))
	w.report(t)
	if want == nil {
		t.Fatal("no lease")
	}
	w.host.IP("addr", "add", offer.String()+"/32", "dev", "lo")
	conn, err := w.host.ListenPacket("udp4", netip.AddrPortFrom(offer, dhcpv4.ClientPort).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	renewal, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithHwAddr(dhcptest.MAC(machine)), dhcptest.Ciaddr(offer.String()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ask(conn, renewal)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Options, got.Options); diff != "" {
		t.Errorf("options of the first ACK and of the renewal's (-want +got):\n%s\nfirst %s\nthen %s", diff, want.Summary(), got.Summary())
	}
}
