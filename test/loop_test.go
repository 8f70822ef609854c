package test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// soon is how long a packet may take on a busy machine.
const soon = 10 * time.Second

// quiet returns a program that is the server without the lines of debugging.
func quiet(t *testing.T) string { return wrapped(t, `"$1" "$2" --loglevel info`) }

// unprivileged returns a program that is the server without CAP_NET_ADMIN.
func unprivileged(t *testing.T) string {
	return wrapped(t, `"$@"`, dhcptest.Need(t, "setpriv", "util-linux"), "--bounding-set", "-net_admin", "--inh-caps", "-net_admin")
}

// wrapped returns a program that runs the server behind other words.
func wrapped(t *testing.T, arguments string, before ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "coredhcp")
	words := append(append([]string{"exec"}, before...), dhcptest.CoreDHCPBinary(t), arguments)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+strings.Join(words, " ")+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// answers says why the known machine has no offer.
func (s *site) answers(dhcp *dhcptest.Process) error {
	s.asking.Do(func() { s.tap = s.host(1).Tap("eth0") })
	s.tap.Send(broadcast(dhcptest.Request4(s.t, dhcptest.MAC(1).String(), dhcpv4.MessageTypeDiscover)).Frame())
	if got, ok := s.tap.ReceiveUDP(67, time.Second); !ok || got.Dst.String() != dhcptest.MAC(1).String() {
		return fmt.Errorf("no reply:\n%s", dhcp.Log())
	}
	return nil
}

// known is a directive for one machine that needs no SMD: MAC 1 has 192.0.2.11.
func known(t *testing.T, more ...string) string {
	folder := dhcptest.Inventory(t,
		`[{"MACAddress":"02:00:00:00:00:01","ComponentID":"x3000c0s1b0n0","Type":"Node","IPAddresses":[{"IPAddress":"192.0.2.11"}]},
		{"MACAddress":"02:00:00:00:00:02","ComponentID":"x3000c0s2b0n0","Type":"Node","IPAddresses":[{"IPAddress":"198.51.100.11"}]}]`,
		`{"Components":[{"ID":"x3000c0s1b0n0","Type":"Node","NID":1},{"ID":"x3000c0s2b0n0","Type":"Node","NID":2}]}`)
	words := []string{"coresmd: svc_base_uri=file:" + folder, "ipxe_base_uri=http://192.0.2.1:8081", "tftp_dir=" + t.TempDir()}
	return strings.Join(append(words, more...), " ")
}

// configOf is a configuration with a listen entry for IPv4 and plugins behind server_id.
func configOf(listen string, plugins ...string) string {
	return "server4:\n  listen: \"" + listen + "\"\n  plugins:\n    - server_id: 192.0.2.1\n    - netmask: 255.255.255.0\n    - " +
		strings.Join(plugins, "\n    - ") + "\n"
}

// launch starts the server and waits until it listens.
func (s *site) launch(config string) *dhcptest.Process {
	s.t.Helper()
	return dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(s.t), config)
}

var (
	everyone   = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	nowhere    = netip.MustParseAddr("0.0.0.0")
	everywhere = netip.MustParseAddr("255.255.255.255")
	serverMAC  = dhcptest.MAC(0x100)
)

// broadcast is a message as a client without address sends it.
func broadcast(m *dhcpv4.DHCPv4) dhcptest.UDP {
	return dhcptest.UDP{
		Src: m.ClientHWAddr, Dst: everyone, From: netip.AddrPortFrom(nowhere, 68), To: netip.AddrPortFrom(everywhere, 67), Payload: m.ToBytes(),
	}
}

// unicast is a message as a host sends it to the server.
func unicast(mac net.HardwareAddr, from netip.AddrPort, m *dhcpv4.DHCPv4) dhcptest.UDP {
	return dhcptest.UDP{Src: mac, Dst: serverMAC, From: from, To: netip.AddrPortFrom(serverIP, 67), Payload: m.ToBytes()}
}

// The octets of each kind of reply on the wire: where it goes, where it comes from,
// its checksums, its padding. The server has another address before the one that is
// its identifier.
func TestLoopWire(t *testing.T) {
	t.Parallel()
	s := &site{t: t, net: dhcptest.NewNet(t)}
	s.lan = s.net.Wire("lan")
	s.server = s.net.Namespace("server")
	s.server.Attach(s.lan, "eth0", serverMAC, netip.MustParsePrefix("192.0.2.9/24"), netip.PrefixFrom(serverIP, 24))
	relay := s.net.Namespace("relay")
	relay.Attach(s.lan, "eth0", dhcptest.MAC(0x200), netip.PrefixFrom(relayIP, 24), netip.MustParsePrefix("192.0.2.11/24"))
	dhcp := s.launch(configOf("%eth0", known(t)))
	tap := relay.Tap("eth0")
	dhcptest.Eventually(t, soon, func() error { return s.answers(dhcp) })

	mac, relayMAC := dhcptest.MAC(1), dhcptest.MAC(0x200)
	message := func(kind dhcpv4.MessageType, with ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
		return dhcptest.Request4(t, mac.String(), kind, with...)
	}
	wrong := dhcptest.Requested("192.0.2.99")
	relayPort := netip.AddrPortFrom(relayIP, 67)
	port := func(addr netip.Addr, n uint16) netip.AddrPort { return netip.AddrPortFrom(addr, n) }
	for name, c := range map[string]struct {
		sent     dhcptest.UDP
		dst      net.HardwareAddr
		to       netip.AddrPort
		kind     dhcpv4.MessageType
		bcastBit bool
	}{
		"frame to a client without address": {
			broadcast(message(dhcpv4.MessageTypeDiscover)), mac, port(netip.MustParseAddr("192.0.2.11"), 68), dhcpv4.MessageTypeOffer, false,
		},
		"broadcast when asked for": {
			broadcast(message(dhcpv4.MessageTypeDiscover, dhcpv4.WithBroadcast(true))), everyone, port(everywhere, 68), dhcpv4.MessageTypeOffer, true,
		},
		"NAK by broadcast": {
			broadcast(message(dhcpv4.MessageTypeRequest, wrong)), everyone, port(everywhere, 68), dhcpv4.MessageTypeNak, false,
		},
		"renewing by unicast": {
			unicast(relayMAC, port(netip.MustParseAddr("192.0.2.11"), 68), message(dhcpv4.MessageTypeRequest, dhcptest.Ciaddr("192.0.2.11"))),
			relayMAC, port(netip.MustParseAddr("192.0.2.11"), 68), dhcpv4.MessageTypeAck, false,
		},
		"inform by unicast": {
			unicast(relayMAC, port(netip.MustParseAddr("192.0.2.11"), 68), message(dhcpv4.MessageTypeInform, dhcptest.Ciaddr("192.0.2.11"))),
			relayMAC, port(netip.MustParseAddr("192.0.2.11"), 68), dhcpv4.MessageTypeAck, false,
		},
		"relayed": {
			unicast(relayMAC, relayPort, message(dhcpv4.MessageTypeDiscover, dhcptest.Relay(relayIP.String()))),
			relayMAC, relayPort, dhcpv4.MessageTypeOffer, false,
		},
		"relayed NAK has the broadcast bit": {
			unicast(relayMAC, relayPort, message(dhcpv4.MessageTypeRequest, wrong, dhcptest.Relay(relayIP.String()))),
			relayMAC, relayPort, dhcpv4.MessageTypeNak, true,
		},
		"relayed from a port of its own, RFC 8357": {
			unicast(relayMAC, port(relayIP, 1067), message(dhcpv4.MessageTypeDiscover, dhcptest.Relay(relayIP.String()), dhcptest.Raw(82, 19, 0))),
			relayMAC, port(relayIP, 1067), dhcpv4.MessageTypeOffer, false,
		},
		"relayed from a port of its own without the sub-option": {
			unicast(relayMAC, port(relayIP, 1067), message(dhcpv4.MessageTypeDiscover, dhcptest.Relay(relayIP.String()), dhcptest.Raw(82, 1, 1, 'x'))),
			relayMAC, relayPort, dhcpv4.MessageTypeOffer, false,
		},
	} {
		tap.Send(c.sent.Frame())
		got, ok := tap.ReceiveUDP(67, soon)
		for ok && got.Src.String() != serverMAC.String() { // what we sent
			got, ok = tap.ReceiveUDP(67, soon)
		}
		if !ok {
			t.Errorf("%s: no reply\n%s", name, dhcp.Log())
			continue
		}
		reply := dhcptest.Parse4(t, got.Payload)
		head := dhcptest.UDP{Src: got.Src, Dst: got.Dst, From: got.From, To: got.To}
		want := dhcptest.UDP{Src: serverMAC, Dst: c.dst, From: port(serverIP, 67), To: c.to}
		if head.String() != want.String() || reply.MessageType() != c.kind || reply.IsBroadcast() != c.bcastBit {
			t.Errorf("%s: %v with broadcast bit %v in %v, want %v with %v in %v", name, reply.MessageType(), reply.IsBroadcast(), head, c.kind, c.bcastBit, want)
		}
		if sum := dhcptest.Sum(got.IP[:20]); sum != 0xffff {
			t.Errorf("%s: IP checksum %04x", name, sum)
		}
		if c.dst.String() == mac.String() && got.UDPSum() != 0xffff { // the kernel leaves those of its own to the hardware, which a veth has not
			t.Errorf("%s: UDP checksum %04x in %x", name, got.UDPSum(), got.IP)
		}
		if len(got.Payload) < 300 {
			t.Errorf("%s: %d octets, want 300 at least", name, len(got.Payload))
		}
	}
}

// RELEASE is never answered, DECLINE neither; DECLINE reaches the plugin.
func TestLoopDecline(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	dhcp := s.launch(configOf("%eth0", known(t)))
	dhcptest.Eventually(t, soon, func() error { return s.answers(dhcp) })
	for _, m := range []*dhcpv4.DHCPv4{
		dhcptest.Request4(t, dhcptest.MAC(1).String(), dhcpv4.MessageTypeDecline, dhcptest.Requested("192.0.2.11"), dhcptest.Server("192.0.2.1")),
		dhcptest.Request4(t, dhcptest.MAC(1).String(), dhcpv4.MessageTypeRelease, dhcptest.Ciaddr("192.0.2.11"), dhcptest.Server("192.0.2.1")),
		dhcptest.Request4(t, dhcptest.MAC(1).String(), dhcpv4.MessageTypeDiscover, dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4})),
	} {
		s.tap.Send(broadcast(m).Frame())
	}
	for got, ok := s.tap.ReceiveUDP(67, soon); ; got, ok = s.tap.ReceiveUDP(67, soon) {
		if !ok {
			t.Fatalf("no reply to the DISCOVER:\n%s", dhcp.Log())
		}
		reply := dhcptest.Parse4(t, got.Payload)
		if reply.MessageType() != dhcpv4.MessageTypeOffer {
			t.Errorf("a reply: %s", reply.Summary())
		}
		if reply.TransactionID == (dhcpv4.TransactionID{1, 2, 3, 4}) {
			break
		}
	}
	dhcp.WaitLog(`level=warning.*msg=DECLINE|the machine declined 192\.0\.2\.11`, soon)
}

// An interface that goes away and comes back under another index is heard again,
// whether a listen entry names it or not; so is one that is set down and up.
func TestLoopInterfaces(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"%eth0", "0.0.0.0"} {
		s := newWiring(t)
		dhcp := s.launch(configOf(listen, known(t)))
		asks := func(when string) {
			t.Helper()
			dhcptest.Eventually(t, soon, func() error {
				if err := s.answers(dhcp); err != nil {
					return fmt.Errorf("listening on %s, %s: %w", listen, when, err)
				}
				return nil
			})
		}
		asks("at first")
		s.server.IP("link", "set", "eth0", "down")
		s.server.IP("link", "set", "eth0", "up")
		asks("after down and up")
		s.server.IP("link", "del", "eth0")
		if listen == "%eth0" {
			dhcp.WaitLog(`level=warning msg="interface eth0 is gone: udp4 \[0\.0\.0\.0%eth0\]:67 hears nothing until it is back"`, soon)
		}
		s.server.Attach(s.lan, "eth0", serverMAC, netip.PrefixFrom(serverIP, 24))
		asks("when it is back")
	}
}

// An interface that takes nothing any more holds up nobody on another one.
func TestLoopSendQueue(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	slow := s.net.Wire("slow")
	s.server.Attach(slow, "eth1", dhcptest.MAC(0x101), netip.MustParsePrefix("198.51.100.1/24"))
	s.server.Run("tc", "qdisc", "add", "dev", "eth1", "root", "tbf", "rate", "8kbit", "burst", "2kb", "limit", "100mb")
	dhcp := s.launch(configOf("0.0.0.0", known(t)))
	crowd := s.net.Namespace("crowd")
	crowd.Attach(slow, "eth0", dhcptest.MAC(2))
	flood := crowd.Tap("eth0")
	frame := broadcast(dhcptest.Request4(t, dhcptest.MAC(2).String(), dhcpv4.MessageTypeDiscover)).Frame()
	dhcptest.Eventually(t, soon, func() error { return s.answers(dhcp) })
	full := func() bool { return strings.Contains(dhcp.Log(), `msg="sending eth1 failed`) }
	for range 100 {
		for range 500 {
			flood.Send(frame)
		}
		dhcptest.Eventually(t, soon, func() error { return s.answers(dhcp) })
		if full() {
			break
		}
	}
	dhcp.WaitLog(`level=error msg="sending eth1 failed.* error=".*: \d+ replies dropped"|level=error msg="sending eth1 failed`, soon)
}

// informer asks for name servers by multicast and hears the replies.
type informer struct {
	t    *testing.T
	conn net.PacketConn
	zone string
}

func newInformer(t *testing.T, ns *dhcptest.Namespace) *informer {
	t.Helper()
	conn, err := ns.ListenPacket("udp6", "[::]:546")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &informer{t, conn, ns.Zone("eth0")}
}

// ask sends an Information-request to a group and returns the replies that come
// until none has come for a while.
func (i *informer) ask(group string, wait time.Duration) (replies []string) {
	i.t.Helper()
	m, err := dhcpv6.NewMessage(dhcpv6.WithRequestedOptions(dhcpv6.OptionDNSRecursiveNameServer))
	if err != nil {
		i.t.Fatal(err)
	}
	m.MessageType = dhcpv6.MessageTypeInformationRequest
	if _, err := i.conn.WriteTo(m.ToBytes(), &net.UDPAddr{IP: net.ParseIP(group), Port: 547, Zone: i.zone}); err != nil {
		return nil // the interface has no address yet
	}
	room := make([]byte, 1500)
	for {
		_ = i.conn.SetReadDeadline(time.Now().Add(wait))
		n, _, err := i.conn.ReadFrom(room)
		if err != nil {
			return replies
		}
		reply, err := dhcpv6.MessageFromBytes(room[:n])
		if err != nil {
			i.t.Fatal(err)
		}
		if reply.TransactionID == m.TransactionID {
			replies = append(replies, fmt.Sprint(reply.Type(), reply.Options.DNS()))
		}
	}
}

// hears waits until a group is answered, and sees that it is answered once.
func (i *informer) hears(group, when string) {
	i.t.Helper()
	want := []string{"REPLY [2001:db8::53]"}
	dhcptest.Eventually(i.t, soon, func() error {
		if got := i.ask(group, 300*time.Millisecond); !slices.Equal(got, want) {
			return fmt.Errorf("%s to %s: %v, want %v", when, group, got, want)
		}
		return nil
	})
}

// [::] hears the groups of DHCPv6 on every interface, also on one that comes later,
// and answers once where another listen entry names a group.
func TestLoopJoins(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{`["[::]:547"]`, `["[::]:547", "[ff02::1:2%eth0]:547"]`, `["[::%eth0]:547", "[::]:547"]`} {
		s := newWiring(t)
		s.server.Run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.eth0.accept_dad=0")
		dhcp := dhcptest.LaunchCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), "server6:\n  listen: "+listen+
			"\n  plugins:\n    - server_id: LL 02:00:00:00:01:00\n    - dns: 2001:db8::53\n")
		dhcp.WaitLog(`listening on udp6`, soon)
		host := s.host(1)
		i := newInformer(t, host)
		i.hears("ff02::1:2", "at first")
		i.hears("ff05::1:3", "at first")

		later := s.net.Wire("later")
		s.server.Attach(later, "eth1", dhcptest.MAC(0x101))
		other := s.net.Namespace("other")
		other.Attach(later, "eth0", dhcptest.MAC(2))
		newInformer(t, other).hears("ff02::1:2", "on an interface that came later")

		s.server.IP("link", "del", "eth0")
		s.server.Attach(s.lan, "eth0", serverMAC)
		i.hears("ff02::1:2", "on an interface that came back")
	}
}

// A broadcast is answered once where one listen entry is for any interface and
// another for the one that it comes from.
func TestLoopListensTwice(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	dhcp := s.launch(strings.Replace(configOf("%eth0", known(t)), `"%eth0"`, `["%eth0", "0.0.0.0"]`, 1))
	dhcptest.Eventually(t, soon, func() error { return s.answers(dhcp) })
	mark := dhcp.Mark()
	const asked = 5
	for n := range byte(asked) {
		s.tap.Send(broadcast(dhcptest.Request4(t, dhcptest.MAC(1).String(), dhcpv4.MessageTypeDiscover, dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, n}))).Frame())
	}
	replies := make(map[byte]int)
	for {
		got, ok := s.tap.ReceiveUDP(67, time.Second)
		if !ok {
			break
		}
		if reply := dhcptest.Parse4(t, got.Payload); reply.TransactionID[0] == 1 {
			replies[reply.TransactionID[3]]++
		}
	}
	if diff := cmp.Diff(map[byte]int{0: 1, 1: 1, 2: 1, 3: 1, 4: 1}, replies); diff != "" {
		t.Errorf("replies to each DISCOVER (-want +got):\n%s\n%s", diff, dhcp.LogSince(mark))
	}
}

// What cannot be listened on is named; what cannot be heard is warned of.
func TestLoopListenErrors(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	for listen, want := range map[string]string{
		"%nope":     `listening on udp4 [0.0.0.0%nope]:67: binding to interface nope: no such device`,
		"192.0.2.7": `listening on udp4 [192.0.2.7]:67: bind: cannot assign requested address`,
	} {
		dhcp := dhcptest.LaunchCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), configOf(listen, known(t)))
		if err := dhcp.Wait(soon); err == nil || !strings.Contains(dhcp.Log(), want) {
			t.Errorf("%s: ended with %v and without %s:\n%s", listen, err, want, dhcp.Log())
		}
	}
	dhcp := s.launch(configOf("192.0.2.1", known(t)))
	dhcp.WaitLog(`level=warning.*udp4 \[192\.0\.2\.1\]:67 hears no broadcasts, only what relays and renewing clients send to that address: `+
		`for clients on the same network listen on 0\.0\.0\.0, or %INTERFACE`, soon)
}

// Without the right to widen the receive buffer the server says what to do.
func TestLoopReceiveBuffer(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	dhcp := dhcptest.StartCoreDHCP(s.server, unprivileged(t), configOf("%eth0", known(t)))
	dhcp.WaitLog(`level=warning.*the receive buffer of udp4 \[0\.0\.0\.0%eth0\]:67 is \d+ octets, not 33554432: .*sysctl -w net\.core\.rmem_max=33554432`, soon)
	dhcp = newWiring(t).launch(configOf("%eth0", known(t)))
	if text := grep(dhcp.Log(), "receive buffer"); text != "" {
		t.Errorf("with the right to widen it: %s", text)
	}
}
