package sniff

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/bpf"
)

// frame writes layers down, the checksums left out.
func frame(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	room := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(room, gopacket.SerializeOptions{FixLengths: true}, parts...); err != nil {
		t.Fatal(err)
	}
	return room.Bytes()
}

func ethernet(kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: layers.EthernetBroadcast, EthernetType: kind}
}

func ipv4(protocol layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, IHL: 5, Protocol: protocol, SrcIP: net.IPv4(192, 0, 2, 1).To4(), DstIP: net.IPv4(192, 0, 2, 11).To4()}
}

func ipv6(next layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, NextHeader: next, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::11")}
}

func udp(from, to uint16) *layers.UDP {
	return &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
}

func vlan(kind layers.EthernetType) *layers.Dot1Q {
	return &layers.Dot1Q{VLANIdentifier: 7, Type: kind}
}

// TestDecode has frames with what is heard of them, by the filter in the kernel
// and by the decoder behind it.
func TestDecode(t *testing.T) {
	t.Parallel()
	payload := gopacket.Payload("payload")
	v4, v6 := layers.EthernetTypeIPv4, layers.EthernetTypeIPv6
	optional := ipv4(layers.IPProtocolUDP)
	optional.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	first, later := ipv4(layers.IPProtocolUDP), ipv4(layers.IPProtocolUDP)
	first.Flags, later.FragOffset = layers.IPv4MoreFragments, 100
	extended := gopacket.Payload([]byte{17, 0, 1, 4, 0, 0, 0, 0, 2, 0x22, 2, 0x23, 0, 15, 0, 0, 'p', 'a', 'y', 'l', 'o', 'a', 'd'})
	fragment6 := gopacket.Payload([]byte{17, 0, 0, 1, 0, 0, 0, 1, 2, 0x22, 2, 0x23, 0, 15, 0, 0, 'p'})
	from4, from6 := "192.0.2.1", "[2001:db8::1]"
	to4, to6 := "192.0.2.11", "[2001:db8::11]"
	for name, c := range map[string]struct {
		frame    []byte
		passes   bool // the filter
		from, to string
		tagged   bool
		fragment bool
	}{
		"to a server":        {frame(t, ethernet(v4), ipv4(layers.IPProtocolUDP), udp(68, 67), payload), true, from4 + ":68", to4 + ":67", false, false},
		"to a client":        {frame(t, ethernet(v4), ipv4(layers.IPProtocolUDP), udp(1067, 68), payload), true, from4 + ":1067", to4 + ":68", false, false},
		"IP options":         {frame(t, ethernet(v4), optional, udp(68, 67), payload), true, from4 + ":68", to4 + ":67", false, false},
		"DHCPv6":             {frame(t, ethernet(v6), ipv6(layers.IPProtocolUDP), udp(546, 547), payload), true, from6 + ":546", to6 + ":547", false, false},
		"extension header":   {frame(t, ethernet(v6), ipv6(layers.IPProtocolIPv6HopByHop), extended), true, from6 + ":546", to6 + ":547", false, false},
		"tagged":             {frame(t, ethernet(layers.EthernetTypeDot1Q), vlan(v4), ipv4(layers.IPProtocolUDP), udp(68, 67), payload), true, from4 + ":68", to4 + ":67", true, false},
		"tagged DHCPv6":      {frame(t, ethernet(layers.EthernetTypeQinQ), vlan(v6), ipv6(layers.IPProtocolUDP), udp(546, 547), payload), true, from6 + ":546", to6 + ":547", true, false},
		"first fragment":     {frame(t, ethernet(v4), first, udp(68, 67), payload), true, "", "", false, true},
		"later fragment":     {frame(t, ethernet(v4), later, payload), false, "", "", false, true},
		"fragment of IPv6":   {frame(t, ethernet(v6), ipv6(layers.IPProtocolIPv6Fragment), fragment6), true, "", "", false, true},
		"other ports":        {frame(t, ethernet(v4), ipv4(layers.IPProtocolUDP), udp(53, 5353), payload), false, "", "", false, false},
		"other ports of v6":  {frame(t, ethernet(v6), ipv6(layers.IPProtocolUDP), udp(53, 5353), payload), false, "", "", false, false},
		"TCP":                {frame(t, ethernet(v4), ipv4(layers.IPProtocolTCP), &layers.TCP{SrcPort: 67, DstPort: 68}, payload), false, "", "", false, false},
		"ARP":                {frame(t, ethernet(layers.EthernetTypeARP), gopacket.Payload(make([]byte, 28))), false, "", "", false, false},
		"tagged, other port": {frame(t, ethernet(layers.EthernetTypeDot1Q), vlan(v4), ipv4(layers.IPProtocolUDP), udp(53, 5353), payload), false, "", "", true, false},
		"tagged twice":       {frame(t, ethernet(layers.EthernetTypeQinQ), vlan(layers.EthernetTypeDot1Q), vlan(v4), ipv4(layers.IPProtocolUDP), udp(68, 67), payload), false, from4 + ":68", to4 + ":67", true, false},
		"short":              {[]byte{1, 2, 3}, false, "", "", false, false},
	} {
		vm, err := bpf.NewVM(filter())
		if err != nil {
			t.Fatal(err)
		}
		kept, err := vm.Run(c.frame)
		if err != nil || kept > 0 != c.passes {
			t.Errorf("%s: the filter keeps %d octets, %v", name, kept, err)
		}
		var want *Datagram
		if c.from != "" {
			want = &Datagram{From: netip.MustParseAddrPort(c.from), To: netip.MustParseAddrPort(c.to), Tagged: c.tagged, Payload: []byte("payload")}
		}
		d, fragment := decode(c.frame)
		if diff := cmp.Diff(want, d, cmpopts.EquateComparable(netip.AddrPort{}, time.Time{})); diff != "" || fragment != c.fragment {
			t.Errorf("%s: fragment %v, (-want +got):\n%s", name, fragment, diff)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(frame(f, ethernet(layers.EthernetTypeIPv4), ipv4(layers.IPProtocolUDP), udp(68, 67), gopacket.Payload("payload")))
	f.Add(frame(f, ethernet(layers.EthernetTypeIPv6), ipv6(layers.IPProtocolUDP), udp(546, 547), gopacket.Payload("payload")))
	f.Fuzz(func(t *testing.T, octets []byte) {
		d, fragment := decode(octets)
		if d != nil && (fragment || !ports[d.From.Port()] && !ports[d.To.Port()] || len(d.Payload) > len(octets)) {
			t.Errorf("%+v, fragment %v", d, fragment)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	octets := frame(b, ethernet(layers.EthernetTypeIPv4), ipv4(layers.IPProtocolUDP), udp(68, 67), gopacket.Payload(make([]byte, 300)))
	b.ReportAllocs()
	for b.Loop() {
		if d, _ := decode(octets); d == nil {
			b.Fatal("nothing")
		}
	}
}
