package compare

import (
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

func ip(text string) net.IP { return net.ParseIP(text).To4() }

func raw(code uint8, octets ...byte) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(code), octets))
}

func message4(t *testing.T, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	d, err := dhcpv4.New(mods...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestParts4(t *testing.T) {
	t.Parallel()
	d := message4(t,
		dhcpv4.WithYourIP(ip("192.0.2.11")), dhcpv4.WithServerIP(ip("192.0.2.1")), dhcpv4.WithGatewayIP(ip("192.0.2.254")),
		dhcpv4.WithClientIP(ip("192.0.2.12")), dhcpv4.WithBroadcast(true),
		dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithRouter(ip("192.0.2.254"), ip("192.0.2.253")), dhcpv4.WithLeaseTime(3600),
		raw(26, 0x23, 0x28), raw(28, 192, 0, 2, 255), raw(43, 6, 1, 8, 255), raw(80), raw(3+200, 'a'), raw(58, 1),
		raw(119, 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 3, 'o', 'r', 'g', 0), raw(121, 24, 198, 51, 100, 192, 0, 2, 254), raw(12, 'n', '1'), raw(15, 'o', 'r', 'g', 0), raw(16, 0, 0),
	)
	d.ServerHostName, d.BootFileName = "boot", "ipxe\n.efi"
	want := []Part{
		{0, "yiaddr", "192.0.2.11"},
		{0, "siaddr", "192.0.2.1"},
		{0, "giaddr", "192.0.2.254"},
		{0, "ciaddr", "192.0.2.12"},
		{0, "flags", "broadcast"},
		{0, "sname", "boot"},
		{0, "file", `ipxe\n.efi`},
		{1, "Subnet Mask", "255.255.255.0"},
		{3, "Router", "192.0.2.254 192.0.2.253"},
		{12, "Host Name", "n1"},
		{15, "Domain Name", `org\x00`},
		{16, "Swap Server", "0x0000"},
		{26, "Interface MTU", "9000"},
		{28, "Broadcast Address", "192.0.2.255"},
		{43, "Vendor Specific Information", "0x060108ff"},
		{51, "IP Addresses Lease Time", "1h0m0s"},
		{53, "DHCP Message Type", "OFFER"},
		{58, "Renew Time Value", "0x01"},
		{80, "Rapid Commit", "(empty)"},
		{119, "DNS Domain Search List", "example.org"},
		{121, "Classless Static Route", "route to 198.51.100.0/24 via 192.0.2.254"},
		{203, "unknown (203)", "a"},
	}
	if diff := cmp.Diff(want, Parts4(d)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Parts4(nil); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	d = message4(t)
	d.Flags = 0x8001
	if diff := cmp.Diff([]Part{{0, "flags", "0x8001"}}, Parts4(d)); diff != "" {
		t.Errorf("odd flags (-want +got):\n%s", diff)
	}
}

func TestDifferences4(t *testing.T) {
	t.Parallel()
	old := message4(t, dhcpv4.WithYourIP(ip("192.0.2.11")), dhcpv4.WithRouter(ip("192.0.2.254")), dhcpv4.WithLeaseTime(3600), raw(80))
	other := message4(t, dhcpv4.WithYourIP(ip("192.0.2.12")), dhcpv4.WithLeaseTime(60), raw(12, 'n', '1'))
	other.NumSeconds = 7 // and another xid: no difference
	want := []Difference{
		{0, "yiaddr", "192.0.2.11", "192.0.2.12"},
		{3, "3 Router", "192.0.2.254", ""},
		{51, "51 IP Addresses Lease Time", "1h0m0s", "1m0s"},
		{80, "80 Rapid Commit", "(empty)", ""},
		{12, "12 Host Name", "", "n1"},
	}
	if diff := cmp.Diff(want, Differences(Parts4(old), Parts4(other))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Differences(Parts4(old), Parts4(old)); got != nil {
		t.Errorf("of itself: %v", got)
	}
}

func message6(t *testing.T, kind dhcpv6.MessageType, options ...dhcpv6.Option) *dhcpv6.Message {
	t.Helper()
	d, err := dhcpv6.NewMessage()
	if err != nil {
		t.Fatal(err)
	}
	d.MessageType = kind
	for _, o := range options {
		d.AddOption(o)
	}
	return d
}

func iaNA(id byte, addr string, valid time.Duration) *dhcpv6.OptIANA {
	ia := &dhcpv6.OptIANA{IaId: [4]byte{3: id}, T1: valid / 2, T2: valid / 2}
	ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(addr), PreferredLifetime: valid, ValidLifetime: valid})
	return ia
}

var server = dhcpv6.OptServerID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 0xfe}})

func TestParts6(t *testing.T) {
	t.Parallel()
	m := message6(t, dhcpv6.MessageTypeReply, server, iaNA(1, "2001:db8::11", time.Hour),
		&dhcpv6.OptStatusCode{StatusCode: iana.StatusSuccess, StatusMessage: "well\x00"}, &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit},
		dhcpv6.OptDNS(net.ParseIP("2001:db8::53")))
	want := []Part{
		{0, "message", "REPLY"},
		{2, "Server ID", "00:03:00:01:02:00:00:00:00:fe"},
		{3, "IANA", "IAID 00000001, T1 30m0s, T2 30m0s; 2001:db8::11 preferred 1h0m0s, valid 1h0m0s"},
		{13, "Status Code", `Success: well\x00`},
		{14, "Rapid Commit", "(empty)"},
		{23, "DNS", "2001:db8::53"},
	}
	if diff := cmp.Diff(want, Parts6(m)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	apart := append(append(append([]Part{}, want[:2]...), Part{3, "IANA", "IAID 00000001; 2001:db8::11"},
		Part{3, "IANA times", "T1 30m0s, T2 30m0s; preferred 1h0m0s, valid 1h0m0s"}), want[3:]...)
	if diff := cmp.Diff(apart, finer(m)); diff != "" {
		t.Errorf("finer (-want +got):\n%s", diff)
	}
	relayed, err := dhcpv6.EncapsulateRelay(m, dhcpv6.MessageTypeRelayReply, net.ParseIP("2001:db8::1"), net.ParseIP("fe80::1"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, Parts6(relayed)); diff != "" {
		t.Errorf("through a relay (-want +got):\n%s", diff)
	}
	for name, nothing := range map[string]dhcpv6.DHCPv6{"nil": nil, "no message": (*dhcpv6.Message)(nil), "empty relay": &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayReply}} {
		if got := Parts6(nothing); got != nil {
			t.Errorf("of %s: %v", name, got)
		}
	}
}

// An option may be there more than once, and anywhere.
func TestDifferences6(t *testing.T) {
	t.Parallel()
	old := message6(t, dhcpv6.MessageTypeAdvertise, iaNA(1, "2001:db8::11", time.Hour), iaNA(2, "2001:db8::12", time.Hour), server)
	other := message6(t, dhcpv6.MessageTypeAdvertise, server, iaNA(2, "2001:db8::12", time.Minute), iaNA(1, "2001:db8::11", time.Hour), iaNA(3, "2001:db8::13", time.Hour))
	want := []Difference{
		{
			3, "3 IANA", "IAID 00000002, T1 30m0s, T2 30m0s; 2001:db8::12 preferred 1h0m0s, valid 1h0m0s",
			"IAID 00000002, T1 30s, T2 30s; 2001:db8::12 preferred 1m0s, valid 1m0s",
		},
		{3, "3 IANA", "", "IAID 00000003, T1 30m0s, T2 30m0s; 2001:db8::13 preferred 1h0m0s, valid 1h0m0s"},
	}
	if diff := cmp.Diff(want, Differences(Parts6(old), Parts6(other))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzParts4(f *testing.F) {
	f.Add(message4(&testing.T{}, dhcpv4.WithLeaseTime(60), raw(121, 33), raw(119, 0xc0, 0), raw(3, 1)).ToBytes())
	f.Fuzz(func(t *testing.T, octets []byte) {
		d, err := dhcpv4.FromBytes(octets)
		if err != nil {
			return
		}
		sane(t, Parts4(d))
	})
}

func FuzzParts6(f *testing.F) {
	f.Add(message6(&testing.T{}, dhcpv6.MessageTypeReply, server, iaNA(1, "2001:db8::11", time.Hour)).ToBytes())
	f.Fuzz(func(t *testing.T, octets []byte) {
		d, err := dhcpv6.FromBytes(octets)
		if err != nil {
			return
		}
		sane(t, Parts6(d))
		if m, err := d.GetInnerMessage(); err == nil {
			sane(t, finer(m))
		}
	})
}

// sane checks what holds of the parts of every message: they have values that
// print, and do not differ from themselves.
func sane(t *testing.T, parts []Part) {
	t.Helper()
	for _, p := range parts {
		if p.Value == "" || p.Value != printable(p.Value) && p.Value != octets([]byte(p.Value)) {
			t.Errorf("%s: %q", p.Label(), p.Value)
		}
	}
	if got := Differences(parts, parts); got != nil {
		t.Errorf("of itself: %v", got)
	}
}

// The manual has each field that programs read.
func TestManual(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/shadow.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []any{Exchange{}, Reply{}, Part{}, Difference{}, Summary{}, Counts{}, Count{}} {
		kind := reflect.TypeOf(of)
		for field := range kind.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name != "" && !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/shadow.md lacks `%s` of %v", name, kind)
			}
		}
	}
	for _, result := range Results() {
		if !strings.Contains(string(page), "`"+result+"`") {
			t.Errorf("docs/shadow.md lacks `%s`", result)
		}
	}
}
