package record

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// written is exchanges as a file.
func written(t testing.TB, all ...*Exchange) []byte {
	t.Helper()
	var file bytes.Buffer
	w := NewWriter(&file, "coresmd v1.2.3")
	for _, x := range all {
		if err := w.Write(x); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// datagrams are those of a file.
func datagrams(t testing.TB, file []byte) []Datagram {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var all []Datagram
	for {
		d, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
}

var sixth = &Exchange{
	Time: time.Unix(1e9, 500), V6: true, Interface: Interface{Name: "eth1"},
	From: netip.MustParseAddrPort("[fe80::2%eth1]:546"), To: netip.MustParseAddrPort("[ff02::1:2]:547"), Request: []byte{1, 2, 3, 4},
	Replied: time.Unix(1e9, 600), ReplyFrom: netip.MustParseAddrPort("[fe80::1]:547"), ReplyTo: netip.MustParseAddrPort("[fe80::2]:546"), Reply: []byte{7, 2, 3, 4},
	Decisions: []Decision{{"coresmd", "REPLY", ""}},
}

// TestFile has what was written read again.
func TestFile(t *testing.T) {
	t.Parallel()
	first := numbered(1)
	malformed := &Exchange{Time: time.Unix(1e9, 700), Request: []byte("no message"), Decisions: []Decision{{"coredhcp", "no reply", "malformed\xff"}}}
	utc := func(at time.Time) time.Time { return at.UTC() }
	want := []Datagram{
		{Time: utc(first.Time), Interface: eth0, From: first.From, To: first.To, Payload: first.Request, Comment: "coresmd: passed on: unknown machine\nbootloop: OFFER"},
		{Time: utc(first.Replied), Interface: eth0, From: first.ReplyFrom, To: first.ReplyTo, Payload: first.Reply, Comment: "bootloop: OFFER", Sent: true},
		{Time: utc(sixth.Time), Interface: sixth.Interface, From: netip.MustParseAddrPort("[fe80::2]:546"), To: sixth.To, Payload: sixth.Request, Comment: "coresmd: REPLY"},
		{Time: utc(sixth.Replied), Interface: sixth.Interface, From: sixth.ReplyFrom, To: sixth.ReplyTo, Payload: sixth.Reply, Comment: "coresmd: REPLY", Sent: true},
		{Time: utc(malformed.Time), From: netip.MustParseAddrPort("0.0.0.0:68"), To: netip.AddrPortFrom(netip.Addr{}, 67), Payload: malformed.Request, Comment: "coredhcp: no reply: malformed?"},
	}
	file := written(t, first, sixth, malformed)
	if diff := cmp.Diff(want, datagrams(t, file), same); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(file)
	z.Close()
	if diff := cmp.Diff(want, datagrams(t, packed.Bytes()), same); diff != "" {
		t.Errorf("packed (-want +got):\n%s", diff)
	}
}

// A capture is a file of tcpdump, of a link type.
func capture(t testing.TB, link layers.LinkType, packets ...[]gopacket.SerializableLayer) []byte {
	t.Helper()
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	if err := w.WriteFileHeader(262144, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		buffer := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, p...); err != nil {
			t.Fatal(err)
		}
		info := gopacket.CaptureInfo{Timestamp: time.Unix(1e9, 0), CaptureLength: len(buffer.Bytes()), Length: len(buffer.Bytes())}
		if err := w.WritePacket(info, buffer.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

// TestLinkTypes has captures of tcpdump on all kinds of interfaces.
func TestLinkTypes(t *testing.T) {
	t.Parallel()
	type layer = gopacket.SerializableLayer
	mac := []byte{2, 0, 0, 0, 0, 1}
	ether := func(kind layers.EthernetType) layer {
		return &layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: kind}
	}
	ip := func() *layers.IPv4 {
		return &layers.IPv4{Version: 4, IHL: 5, TTL: 9, Protocol: layers.IPProtocolUDP, SrcIP: []byte{192, 0, 2, 9}, DstIP: []byte{192, 0, 2, 1}}
	}
	udp := func(from, to uint16) layer {
		return &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
	}
	message := gopacket.Payload("message")
	cooked := gopacket.Payload{0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0}
	cooked2 := gopacket.Payload{8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0}
	options := ip()
	options.IHL, options.Options = 6, []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
	hop := &layers.IPv6HopByHop{}
	hop.NextHeader = layers.IPProtocolUDP
	hop.Options = []*layers.IPv6HopByHopOption{{OptionType: 1, OptionData: []byte{0, 0, 0, 0}}}
	six := &layers.IPv6{Version: 6, HopLimit: 1, NextHeader: layers.IPProtocolIPv6HopByHop, SrcIP: netip.MustParseAddr("fe80::2").AsSlice(), DstIP: netip.MustParseAddr("ff02::1:2").AsSlice()}
	four := Datagram{Time: time.Unix(1e9, 0).UTC(), From: netip.MustParseAddrPort("192.0.2.9:67"), To: netip.MustParseAddrPort("192.0.2.1:67"), Payload: message}
	for name, c := range map[string]struct {
		link   layers.LinkType
		layers []layer
		want   []Datagram
	}{
		"Ethernet":      {layers.LinkTypeEthernet, []layer{ether(layers.EthernetTypeIPv4), ip(), udp(67, 67), message}, []Datagram{four}},
		"VLAN":          {layers.LinkTypeEthernet, []layer{ether(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeIPv4}, ip(), udp(67, 67), message}, []Datagram{four}},
		"VLAN in VLAN":  {layers.LinkTypeEthernet, []layer{ether(layers.EthernetTypeQinQ), &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeDot1Q}, &layers.Dot1Q{VLANIdentifier: 8, Type: layers.EthernetTypeIPv4}, ip(), udp(67, 67), message}, []Datagram{four}},
		"IP options":    {layers.LinkTypeEthernet, []layer{ether(layers.EthernetTypeIPv4), options, udp(67, 67), message}, []Datagram{four}},
		"Linux cooked":  {layers.LinkTypeLinuxSLL, []layer{cooked, ip(), udp(67, 67), message}, []Datagram{four}},
		"cooked 2":      {layers.LinkTypeLinuxSLL2, []layer{cooked2, ip(), udp(67, 67), message}, []Datagram{four}},
		"raw":           {layers.LinkTypeRaw, []layer{ip(), udp(67, 67), message}, []Datagram{four}},
		"raw of BSD":    {12, []layer{ip(), udp(67, 67), message}, []Datagram{four}},
		"IPv4":          {layers.LinkTypeIPv4, []layer{ip(), udp(67, 67), message}, []Datagram{four}},
		"loopback":      {layers.LinkTypeNull, []layer{gopacket.Payload{2, 0, 0, 0}, ip(), udp(67, 67), message}, []Datagram{four}},
		"another port":  {layers.LinkTypeRaw, []layer{ip(), udp(53, 53), message}, nil},
		"another proto": {layers.LinkTypeEthernet, []layer{ether(layers.EthernetTypeARP), message}, nil},
		"IPv6 with an extension header": {layers.LinkTypeRaw, []layer{six, hop, udp(546, 547), message}, []Datagram{{
			Time: four.Time, From: netip.MustParseAddrPort("[fe80::2]:546"), To: netip.MustParseAddrPort("[ff02::1:2]:547"), Payload: message,
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, datagrams(t, capture(t, c.link, c.layers)), same); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	fragment := ip()
	fragment.Flags = layers.IPv4MoreFragments
	r, err := NewReader(bytes.NewReader(capture(t, layers.LinkTypeRaw, []layer{fragment, udp(67, 67), message})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) || r.Fragments != 1 || r.Cut != 0 {
		t.Errorf("a fragment: %v, %d fragments, %d cut", err, r.Fragments, r.Cut)
	}
}

// TestMistakes has files that are none.
func TestMistakes(t *testing.T) {
	t.Parallel()
	file := written(t, numbered(1))
	huge := bytes.Clone(file)
	section := int(huge[4]) // octets of the section header; the interface is next
	huge[section+7] = 0x7f
	old := capture(t, layers.LinkTypeRaw)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":                {nil, ErrFormat.Error()},
		"text":                 {[]byte("server4:\n  listen: 0.0.0.0\n  plugins: []\n"), ErrFormat.Error()},
		"a short header":       {file[:10], "pcapng: unexpected EOF\nEOF"},
		"cut off":              {file[:len(file)-10], "unexpected EOF"},
		"a huge block":         {huge, "a block of 2130706508 octets; wanted 12 to 1048576"},
		"another link":         {append(capture(t, layers.LinkTypeIEEE802_11)[:24], append(make([]byte, 8), 4, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4)...), "link type 105; wanted Ethernet, Linux cooked, raw IP or loopback"},
		"a huge packet of old": {append(old, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0x7f), "capture length exceeds snap length: 2130706432 > 262144"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := problem(c.file); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// problem is what is wrong with a file.
func problem(file []byte) string {
	r, err := NewReader(bytes.NewReader(file))
	for err == nil {
		_, err = r.Next()
	}
	if errors.Is(err, io.EOF) && r != nil {
		return ""
	}
	return err.Error()
}

// FuzzReader has files of all kinds read: there is an end to it, and to the memory
// that it takes.
func FuzzReader(f *testing.F) {
	f.Add(written(f, numbered(1), sixth))
	f.Add(written(f, numbered(2))[:200])
	f.Add(capture(f, layers.LinkTypeRaw, []gopacket.SerializableLayer{
		&layers.IPv4{Version: 4, IHL: 5, Protocol: layers.IPProtocolUDP, SrcIP: []byte{192, 0, 2, 9}, DstIP: []byte{192, 0, 2, 1}},
		&layers.UDP{SrcPort: 67, DstPort: 67}, gopacket.Payload("message"),
	}))
	f.Fuzz(func(t *testing.T, file []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := NewReader(bytes.NewReader(file))
		for err == nil {
			_, err = r.Next()
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20+256*uint64(len(file)) {
			t.Errorf("%d octets take %d", len(file), took)
		}
	})
}
