package server

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/mmsg"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/sirupsen/logrus"
)

// FuzzPacket has any octets at both ports. Nothing panics; what leaves is one reply,
// well formed, to where the request allows.
func FuzzPacket(f *testing.F) {
	log := logrus.New()
	log.SetOutput(bytes.NewBuffer(nil))
	l, err := listen(process.New(), loopback(), nil, logrus.NewEntry(log))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = l.close() })
	l.chains.Store(&chains{v4: []link4{address}, v6: []link6{ia}})
	f.Add(request4(f, dhcpv4.MessageTypeDiscover).ToBytes())
	f.Add(relayed(f, dhcpv4.MessageTypeRequest, 1, generic(82, 19)))
	f.Add(relayed(f, dhcpv4.MessageTypeRequest, 1, generic(82, 1, 200, 19)))
	f.Add(solicit(f, dhcpv6.WithRapidCommit).ToBytes())
	near, err := dhcpv6.EncapsulateRelay(solicit(f), dhcpv6.MessageTypeRelayForward, dhcpv6.AllDHCPServers, dhcpv6.AllDHCPServers)
	if err != nil {
		f.Fatal(err)
	}
	far, err := dhcpv6.EncapsulateRelay(near, dhcpv6.MessageTypeRelayForward, dhcpv6.AllDHCPServers, dhcpv6.AllDHCPServers)
	if err != nil {
		f.Fatal(err)
	}
	far.AddOption(dhcpv6.OptRelayPort(1234))
	f.Add(near.ToBytes())
	f.Add(far.ToBytes())
	f.Add([]byte{12, 0})
	f.Fuzz(func(t *testing.T, octets []byte) {
		for _, s := range l.sockets {
			w := writing{loop: l}
			p := packet{Datagram: mmsg.Datagram{Payload: octets, From: netip.AddrPortFrom(s.addr.Addr(), 1000), Dst: s.addr.Addr(), Index: 1}}
			if why := s.parse(&p); why == "" {
				s.handle(&p, &w)
			}
			check(t, s.out.queue.messages)
			s.out.queue = queue{}
		}
		if n := value(l.metrics.panics); n != 0 {
			t.Fatalf("%v panics", n)
		}
	})
}

// check looks at the replies to one packet.
func check(t *testing.T, replies []mmsg.Message) {
	t.Helper()
	if len(replies) > 1 {
		t.Fatalf("%d replies", len(replies))
	}
	for _, m := range replies {
		if m.To.Addr().Is6() {
			if _, err := dhcpv6.FromBytes(m.Payload); err != nil || m.To.Port() != 1000 {
				t.Errorf("to %v: %v", m.To, err)
			}
			continue
		}
		reply, err := dhcpv4.FromBytes(m.Payload)
		if err != nil || reply.OpCode != dhcpv4.OpcodeBootReply || len(m.Payload) < bootpSize {
			t.Fatalf("%v in %x", err, m.Payload)
		}
		if port := m.To.Port(); port != dhcpv4.ClientPort && port != dhcpv4.ServerPort && port != 1000 || !m.To.Addr().IsValid() || m.To.Addr().IsUnspecified() {
			t.Errorf("to %v", m.To)
		}
	}
}
