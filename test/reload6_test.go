package test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A load6 is DHCPv6 clients that send each packet once and want it answered: some directly, some
// as a relay passes it on.
type load6 struct {
	direct, relayed net.PacketConn
	zone            string // of the interface, as a number: its name is one of another namespace
	stop            context.CancelFunc
	all             sync.WaitGroup // clients and readers

	mu      sync.Mutex // guards all below
	waiting map[dhcpv6.TransactionID]chan *dhcpv6.Message
	wrong   []error
	sent    uint32
	answers int
	longest time.Duration
}

// loadAddr6 is the address of the machine that all these clients are on, a relay's too.
var loadAddr6 = netip.MustParseAddr("2001:db8::6")

// startLoad6 starts clients: some strangers, and the machines from known to known+n, whose address
// is 2001:db8::NUMBER.
func startLoad6(s *site6, strangers, known, n int) *load6 {
	s.t.Helper()
	host := s.net.Namespace("load6")
	host.QuickDAD()
	host.Attach(s.lan, "eth0", dhcptest.MAC(0x301), netip.PrefixFrom(loadAddr6, 64))
	dhcptest.Settle6(s.t, host, "eth0")
	listen := func(addr string) net.PacketConn {
		conn, err := host.ListenPacket("udp6", addr)
		if err != nil {
			s.t.Fatal(err)
		}
		return conn
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &load6{zone: strings.Split(host.IP("-o", "link", "show", "dev", "eth0"), ":")[0], direct: listen("[::]:546"), relayed: listen("[" + loadAddr6.String() + "]:547"), stop: stop, waiting: make(map[dhcpv6.TransactionID]chan *dhcpv6.Message)}
	for _, conn := range []net.PacketConn{l.direct, l.relayed} {
		l.all.Go(func() { l.read(conn) })
	}
	var clients sync.WaitGroup
	for i := range strangers {
		clients.Go(func() { l.client(ctx, 0x9000+i, netip.Addr{}) })
	}
	for i := range n {
		clients.Go(func() { l.client(ctx, known+i, netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", known+i))) })
	}
	l.all.Go(func() {
		clients.Wait()
		l.direct.Close()
		l.relayed.Close()
	})
	s.t.Cleanup(func() { stop(); l.all.Wait() })
	return l
}

// client takes one machine from its Solicit to its Reply over and over, and renews in between.
func (l *load6) client(ctx context.Context, machine int, want netip.Addr) {
	for ctx.Err() == nil {
		advertise := l.once(machine, dhcpv6.MessageTypeSolicit, nil, netip.Addr{})
		if advertise == nil {
			return
		}
		if !want.IsValid() {
			want = addressOf(advertise)
		}
		l.wants(machine, advertise, dhcpv6.MessageTypeAdvertise, want)
		for _, kind := range []dhcpv6.MessageType{dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind} {
			server := advertise.Options.ServerID()
			if kind == dhcpv6.MessageTypeRebind {
				server = nil
			}
			l.wants(machine, l.once(machine, kind, server, want), dhcpv6.MessageTypeReply, want)
		}
	}
}

// addressOf is the address that a message gives; invalid: none.
func addressOf(m *dhcpv6.Message) netip.Addr {
	if ia := m.Options.OneIANA(); ia != nil && ia.Options.OneAddress() != nil && ia.Options.OneAddress().ValidLifetime > 0 {
		addr, _ := netip.AddrFromSlice(ia.Options.OneAddress().IPv6Addr)
		return addr
	}
	return netip.Addr{}
}

func (l *load6) wants(machine int, got *dhcpv6.Message, kind dhcpv6.MessageType, want netip.Addr) {
	if got != nil && (got.MessageType != kind || addressOf(got) != want || !want.IsValid()) {
		l.fail(fmt.Errorf("machine %x: %v of %v, want %v of %v", machine, got.MessageType, addressOf(got), kind, want))
	}
}

func (l *load6) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, err)
}

// once sends one packet and returns the answer; nil: it was lost.
func (l *load6) once(machine int, kind dhcpv6.MessageType, server dhcpv6.DUID, addr netip.Addr) *dhcpv6.Message {
	m := &dhcpv6.Message{MessageType: kind}
	m.AddOption(dhcpv6.OptClientID(dhcptest.LL(mac(machine))))
	if server != nil {
		m.AddOption(dhcpv6.OptServerID(server))
	}
	if addr.IsValid() {
		dhcptest.NA(1, addr.String())(m)
	} else {
		dhcptest.NA(1)(m)
	}
	answer := make(chan *dhcpv6.Message, 1)
	l.mu.Lock()
	l.sent++ // of three octets at random, two that wait would be the same now and then
	copy(m.TransactionID[:], binary.BigEndian.AppendUint32(nil, l.sent)[1:])
	l.waiting[m.TransactionID] = answer
	l.mu.Unlock()
	began := time.Now()
	if err := l.send(machine, m); err != nil {
		l.fail(err)
		return nil
	}
	var reply *dhcpv6.Message
	select {
	case reply = <-answer:
	case <-time.After(patient):
		l.fail(fmt.Errorf("machine %x: a %v was lost", machine, kind))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, m.TransactionID)
	l.answers++
	l.longest = max(l.longest, time.Since(began))
	return reply
}

// send sends a message: every second machine is behind the relay.
func (l *load6) send(machine int, m *dhcpv6.Message) error {
	if machine%2 == 0 {
		_, err := l.direct.WriteTo(m.ToBytes(), &net.UDPAddr{IP: dhcpv6.AllDHCPRelayAgentsAndServers, Port: dhcpv6.DefaultServerPort, Zone: l.zone})
		return err
	}
	peer := net.IP{0xfe, 0x80, 14: byte(machine >> 8), 15: byte(machine)}
	relayed, err := dhcpv6.EncapsulateRelay(m, dhcpv6.MessageTypeRelayForward, loadAddr6.AsSlice(), peer)
	if err == nil {
		_, err = l.relayed.WriteTo(relayed.ToBytes(), net.UDPAddrFromAddrPort(netip.AddrPortFrom(serverIP6, dhcpv6.DefaultServerPort)))
	}
	return err
}

// read hands answers to those who wait for them, until the socket is closed.
func (l *load6) read(conn net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var reply *dhcpv6.Message
		if err == nil {
			var packet dhcpv6.DHCPv6
			if packet, err = dhcpv6.FromBytes(buf[:n]); err == nil {
				reply, err = packet.GetInnerMessage()
			}
		}
		if err != nil {
			l.fail(err)
			continue
		}
		l.mu.Lock()
		answer := l.waiting[reply.TransactionID]
		l.mu.Unlock()
		select {
		case answer <- reply:
		default: // nobody waits, or somebody has one already
		}
	}
}

// done ends the load, reports what has gone wrong, and returns the longest wait.
func (l *load6) done(t *testing.T) time.Duration {
	t.Helper()
	l.stop()
	l.all.Wait()
	for i, err := range l.wrong {
		if i == 10 {
			t.Errorf("and %d more", len(l.wrong)-i)
			break
		}
		t.Error(err)
	}
	if l.answers == 0 {
		t.Error("there was no load")
	}
	t.Logf("%d answers, the longest wait %v", l.answers, l.longest)
	return l.longest
}

// TestReload6 has a server reload its configuration, and take new binaries into service, while
// clients of DHCPv6 send without a pause, each packet once, directly and through a relay. No packet
// is lost, and everybody keeps the address.
func TestReload6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	const known, machines, strangers = 0x800, 10, 10
	for i := range machines {
		s.addNode(known+i, fmt.Sprintf("2001:db8::%x", known+i))
	}
	text := s.chainOf("", tenAddresses) + s.config6(s.smd6(), s.loop6(pool6, "renew=ack"))
	server := s.serveFile(text)
	server.WaitLog(`level=info.*inventory of`, takesUp)
	load := startLoad6(s, strangers, known, machines)
	reloads, handOvers := number("RELOADS", 6), number("HANDOVERS", 2)
	seen := map[int]bool{}
	for i := range reloads {
		if i < handOvers {
			server.install(dhcptest.CoreDHCPBinary(t))
		}
		server.write(fmt.Sprintf("# %d\n%s", i, text))
		seen[server.reload()] = true
	}
	longest := load.done(t)
	if len(seen) != reloads {
		t.Errorf("%d processes served, want %d", len(seen), reloads)
	}
	if reloads > 6 && longest > time.Second {
		t.Errorf("a client waited %v for an answer", longest)
	}
	if bad := grep(server.Log(), `level=error|in use by another process|inventory not loaded`); bad != "" {
		t.Errorf("the log:\n%s", bad)
	}
	server.stop()
}
