package test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A load keeps the server busy until its context ends, and counts what went well. The
// first thing that goes wrong ends it.
type load struct {
	name  string
	once  func() error // one renewal
	least int          // renewals
	count int
	err   error
}

func (l *load) run(ctx context.Context) {
	for ctx.Err() == nil && l.err == nil {
		if l.err = l.once(); l.err == nil {
			l.count++
		}
	}
}

// clientLoad has a real client renew over and over. udhcpc loses a reply now and then, when
// it is told to renew while it still opens the socket for it, and repeats after a second.
func clientLoad(client *dhcptest.Client, want dhcptest.Bound) *load {
	return &load{name: "udhcpc", least: 5, once: func() error {
		client.Renew()
		got, err := client.NextEvent(dhcptest.EventRenew, 5*time.Second)
		if err != nil {
			return err
		}
		if diff := dhcptest.DiffBound(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	}}
}

// packetLoad renews from a host that has its address, some hundred times a second.
func (s *site) packetLoad(n int, addr netip.Addr) *load {
	s.t.Helper()
	host := s.host(n)
	host.IP("addr", "add", netip.PrefixFrom(addr, 24).String(), "dev", "eth0")
	conn, err := host.ListenPacket("udp4", netip.AddrPortFrom(addr, dhcpv4.ClientPort).String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return &load{name: "packets", least: 500, once: func() error {
		time.Sleep(2 * time.Millisecond)
		return renewOnce(conn, dhcptest.MAC(n), addr)
	}}
}

// renewOnce sends the REQUEST of a client in state RENEWING, once, and wants its ACK.
func renewOnce(conn net.PacketConn, mac net.HardwareAddr, addr netip.Addr) error {
	req, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithHwAddr(mac), dhcpv4.WithClientIP(addr.AsSlice()))
	if err != nil {
		return err
	}
	server := net.UDPAddrFromAddrPort(netip.AddrPortFrom(serverIP, dhcpv4.ServerPort))
	if _, err := conn.WriteTo(req.ToBytes(), server); err != nil {
		return err
	}
	buf := make([]byte, 1500)
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	n, _, err := conn.ReadFrom(buf)
	if err != nil {
		return err
	}
	reply, err := dhcpv4.FromBytes(buf[:n])
	if err != nil {
		return err
	}
	if reply.TransactionID != req.TransactionID || reply.MessageType() != dhcpv4.MessageTypeAck || !reply.YourIPAddr.Equal(addr.AsSlice()) {
		return fmt.Errorf("not an ACK of %v: %s", addr, reply.Summary())
	}
	return nil
}

// runLoads runs loads until the function that it returns is called, which reports those that
// did not go well.
func runLoads(t *testing.T, loads []*load) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, l := range loads {
		running.Go(func() { l.run(ctx) })
	}
	end := sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(end)
	return func() {
		t.Helper()
		end()
		for _, l := range loads {
			t.Logf("%s: renewed %d times", l.name, l.count)
			if l.err != nil || l.count < l.least {
				t.Errorf("%s: %d renewals, want at least %d; then %v", l.name, l.count, l.least, l.err)
			}
		}
	}
}

// What the log says of SMD, once per change of state.
const (
	saysDown = `level=error.*connection refused`
	saysUp   = `level=info.*answers again`
)

// SMD goes away and comes back while clients renew without a pause: no renewal fails, a
// node that is known still boots, and a node that is new gets known after SMD is back.
func TestSMDStopsUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	for n := 1; n <= 7; n++ {
		s.addNode(n, fmt.Sprintf("192.0.2.%d", 10+n))
	}
	dhcp := s.serve(s.words())

	loads := []*load{
		s.packetLoad(4, netip.MustParseAddr("192.0.2.14")),
		s.packetLoad(5, netip.MustParseAddr("192.0.2.15")),
		s.packetLoad(6, netip.MustParseAddr("192.0.2.16")),
	}
	for n := 1; n <= 3; n++ {
		want := nodeLease(n, fmt.Sprintf("192.0.2.%d", 10+n))
		client := dhcptest.StartUdhcpc(s.host(n), "eth0", dhcptest.ClientOptions{})
		compare(t, want, client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
		loads = append(loads, clientLoad(client, want))
	}
	stop := runLoads(t, loads)

	stranger := dhcptest.StartUdhcpc(s.host(8), "eth0", dhcptest.ClientOptions{})
	strange(t, stranger.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))

	mark := dhcp.Mark()
	s.smd.Stop()
	dhcp.WaitLogSince(mark, saysDown, takesUp)
	time.Sleep(3 * time.Second) // several polls fail
	compare(t, nodeLease(7, "192.0.2.17"), dhcptest.Udhcpc(s.host(7), "eth0", dhcptest.ClientOptions{}))
	if n := countLines(dhcp.LogSince(mark), saysDown); n != 1 {
		t.Errorf("the log says %d times that SMD is gone, want once:\n%s", n, grep(dhcp.LogSince(mark), saysDown))
	}

	mark = dhcp.Mark()
	s.smd.Start()
	dhcp.WaitLogSince(mark, saysUp, takesUp)
	s.addNode(8, "192.0.2.18")
	moves(t, stranger, nodeLease(8, "192.0.2.18"))
	stop()
}

// The server starts before SMD does, says so once, and serves as soon as SMD is there.
func TestSMDStartsLater(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{Down: true})
	dhcp := s.serve(s.words())
	dhcp.WaitLog(saysDown, takesUp)
	client := dhcptest.StartUdhcpc(s.host(1), "eth0", dhcptest.ClientOptions{})
	strange(t, client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	time.Sleep(3 * time.Second) // several polls fail
	if n := countLines(dhcp.Log(), saysDown); n != 1 {
		t.Errorf("the log says %d times that SMD is not there, want once:\n%s", n, grep(dhcp.Log(), saysDown))
	}
	s.smd.Start()
	dhcp.WaitLog(saysUp, takesUp)
	s.addNode(1, "192.0.2.11")
	moves(t, client, nodeLease(1, "192.0.2.11"))
}

// SMD answers while its database is gone, with errors and with a list of components that is
// empty. None of it is believed.
func TestSMDDatabaseStops(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	pg := dhcptest.StartPostgres(t)
	s.smd = dhcptest.StartSMD(t, pg, dhcptest.SMDOptions{Namespace: s.server})
	s.addNode(1, "192.0.2.11")
	s.addNode(2, "192.0.2.12")
	dhcp := s.serve(s.words())
	client := dhcptest.StartUdhcpc(s.host(1), "eth0", dhcptest.ClientOptions{})
	compare(t, nodeLease(1, "192.0.2.11"), client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))

	mark := dhcp.Mark()
	if err := pg.Halt(); err != nil {
		t.Fatal(err)
	}
	dhcp.WaitLogSince(mark, `level=error.*\b500\b`, takesUp)
	time.Sleep(3 * time.Second) // several polls fail
	client.Renew()
	compare(t, nodeLease(1, "192.0.2.11"), client.WaitEvent(dhcptest.EventRenew, takesUp))
	compare(t, nodeLease(2, "192.0.2.12"), dhcptest.Udhcpc(s.host(2), "eth0", dhcptest.ClientOptions{}))

	mark = dhcp.Mark()
	if err := pg.Resume(); err != nil {
		t.Fatal(err)
	}
	dhcp.WaitLogSince(mark, saysUp, 20*time.Second)
	s.smd.PatchInterface(dhcptest.MAC(1).String(), dhcptest.IPs("192.0.2.21"))
	moves(t, client, nodeLease(1, "192.0.2.21"))
}
