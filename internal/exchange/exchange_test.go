package exchange

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

var self = netip.MustParseAddr("192.0.2.1")

func message(t *testing.T, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.New(dhcpv4.PrependModifiers(with, dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 1}))...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func option(code uint8, value ...byte) dhcpv4.Modifier {
	return dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), value)
}

func TestRead(t *testing.T) {
	t.Parallel()
	a := netip.MustParseAddr
	ciaddr := dhcpv4.WithClientIP(net.IPv4(192, 0, 2, 11))
	for name, c := range map[string]struct {
		kind dhcpv4.MessageType
		with []dhcpv4.Modifier
		want Request
	}{
		"discover":                {dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{option(50, 192, 0, 2, 9)}, Request{State: Discover}},
		"selecting":               {dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{option(54, 192, 0, 2, 1), option(50, 192, 0, 2, 11)}, Request{Selecting, self, a("192.0.2.11")}},
		"selecting by ciaddr":     {dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{option(54, 192, 0, 2, 1), ciaddr}, Request{Selecting, self, a("192.0.2.11")}},
		"selecting, 50 counts":    {dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{option(54, 192, 0, 2, 1), option(50, 192, 0, 2, 9), ciaddr}, Request{Selecting, self, a("192.0.2.9")}},
		"selecting, no address":   {dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{option(54, 192, 0, 2, 2)}, Request{State: Selecting, Server: a("192.0.2.2")}},
		"init-reboot":             {dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{option(50, 192, 0, 2, 11)}, Request{State: InitReboot, Addr: a("192.0.2.11")}},
		"renewing":                {dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{ciaddr}, Request{State: Renewing, Addr: a("192.0.2.11")}},
		"renewing, ciaddr counts": {dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{ciaddr, option(50, 192, 0, 2, 9)}, Request{State: Renewing, Addr: a("192.0.2.11")}},
		"nothing":                 {dhcpv4.MessageTypeRequest, nil, Request{}},
		"short 50":                {dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{option(50, 192, 0, 2)}, Request{}},
		"long 54":                 {dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{option(54, 192, 0, 2, 1, 0), option(50, 192, 0, 2, 11)}, Request{State: InitReboot, Addr: a("192.0.2.11")}},
		"zero 54":                 {dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{option(54, 0, 0, 0, 0), option(50, 192, 0, 2, 11)}, Request{State: InitReboot, Addr: a("192.0.2.11")}},
		"probe":                   {dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{dhcpv4.WithClientIP(net.IPv4(192, 0, 2, 1)), option(54, 192, 0, 2, 9)}, Request{State: Probe, Addr: self}},
		"inform":                  {dhcpv4.MessageTypeInform, []dhcpv4.Modifier{ciaddr}, Request{State: Inform, Addr: a("192.0.2.11")}},
		"release":                 {dhcpv4.MessageTypeRelease, []dhcpv4.Modifier{ciaddr, option(54, 192, 0, 2, 1)}, Request{Release, self, a("192.0.2.11")}},
		"decline":                 {dhcpv4.MessageTypeDecline, []dhcpv4.Modifier{option(50, 192, 0, 2, 11), option(54, 192, 0, 2, 1)}, Request{Decline, self, a("192.0.2.11")}},
		"an offer is no request":  {dhcpv4.MessageTypeOffer, nil, Request{}},
		"no message type at all":  {dhcpv4.MessageTypeNone, nil, Request{}},
	} {
		got := Read(message(t, c.kind, c.with...), self)
		if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestServerID(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		with dhcpv4.Modifier
		want string
	}{
		"none":     {option(12, 'a'), "192.0.2.1"},
		"override": {option(82, 1, 1, 'x', 11, 4, 192, 0, 2, 254), "192.0.2.254"},
		"short":    {option(82, 11, 3, 192, 0, 2), "192.0.2.1"},
		"zero":     {option(82, 11, 4, 0, 0, 0, 0), "192.0.2.1"},
		"broken":   {option(82, 11, 9, 192), "192.0.2.1"},
	} {
		if got := ServerID(message(t, dhcpv4.MessageTypeRequest, c.with).RelayAgentInfo(), self).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestMac(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind   iana.HWType
		mac    string
		reason string
	}{
		"ethernet":     {iana.HWTypeEthernet, "02:00:00:00:00:01", ""},
		"infiniband":   {iana.HWTypeInfiniband, "02:00:00:00:00:01", "InfiniBand hardware address"},
		"eight octets": {iana.HWTypeEthernet, "02:00:00:00:00:00:00:01", "hardware address is not six octets"},
		"zero":         {iana.HWTypeEthernet, "00:00:00:00:00:00", "zero hardware address"},
		"broadcast":    {iana.HWTypeEthernet, "ff:ff:ff:ff:ff:ff", "multicast hardware address"},
	} {
		m := message(t, dhcpv4.MessageTypeDiscover)
		m.HWType = c.kind
		m.ClientHWAddr, _ = net.ParseMAC(c.mac)
		if _, reason := Mac(m); reason != c.reason {
			t.Errorf("%s: %q, want %q", name, reason, c.reason)
		}
	}
	m := message(t, dhcpv4.MessageTypeDiscover)
	m.ClientHWAddr = nil
	if _, reason := Mac(m); reason != "hardware address is not six octets" {
		t.Errorf("no address: %q", reason)
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	if got, want := NewTimes(time.Hour), (Times{time.Hour, 30 * time.Minute, 52*time.Minute + 30*time.Second}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := NewTimes(5*time.Second), (Times{5 * time.Second, 2 * time.Second, 4 * time.Second}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestNak has a prepared reply full of what must not be in a NAK.
func TestNak(t *testing.T) {
	t.Parallel()
	req := message(t, dhcpv4.MessageTypeRequest,
		dhcpv4.WithClientIP(net.IPv4(192, 0, 2, 11)), dhcpv4.WithGatewayIP(net.IPv4(192, 0, 2, 254)),
		dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4}),
		option(61, 1, 2, 3), option(82, 1, 1, 'x'))
	prepared, err := dhcpv4.NewReplyFromRequest(req,
		dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 99)), dhcpv4.WithServerIP(net.IPv4(192, 0, 2, 1)), dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithRouter(net.IPv4(192, 0, 2, 254)), option(67, 'x'))
	if err != nil {
		t.Fatal(err)
	}
	prepared.BootFileName, prepared.ServerHostName = "x", "y"
	got, err := dhcpv4.FromBytes(Nak(req, prepared, self, "no").ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	want := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: iana.HWTypeEthernet, TransactionID: dhcpv4.TransactionID{1, 2, 3, 4},
		Flags: 0x8000, ClientHWAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1},
		ClientIPAddr: net.IP{0, 0, 0, 0}, YourIPAddr: net.IP{0, 0, 0, 0}, ServerIPAddr: net.IP{0, 0, 0, 0}, GatewayIPAddr: net.IP{192, 0, 2, 254},
		Options: dhcpv4.Options{53: {6}, 54: {192, 0, 2, 1}, 56: []byte("no"), 61: {1, 2, 3}, 82: {1, 1, 'x'}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("NAK (-want +got):\n%s", diff)
	}
}

func TestRecover(t *testing.T) {
	t.Parallel()
	var got any
	func() {
		defer Recover(func(value any, stack []byte) { got = value })
		var none []int
		_ = none[len(none)]
	}()
	if got == nil {
		t.Error("a panic was not reported")
	}
}

func TestDump(t *testing.T) {
	t.Parallel()
	req := message(t, dhcpv4.MessageTypeDiscover)
	if got, want := Dump(req), fmt.Sprintf("%x", req.ToBytes()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := Dump(nil); got != "unprintable" {
		t.Errorf("%s", got)
	}
}

// FuzzRead has any octets: whatever parses is read without a panic, and its
// NAK is a message of 300 octets at least.
func FuzzRead(f *testing.F) {
	m, err := dhcpv4.NewDiscovery(net.HardwareAddr{2, 0, 0, 0, 0, 1}, option(93, 7), option(82, 5, 9, 1), option(50, 1), option(54))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.ToBytes())
	f.Fuzz(func(t *testing.T, octets []byte) {
		req, err := dhcpv4.FromBytes(octets)
		if err != nil {
			return
		}
		r := Read(req, self)
		if r.Addr.IsValid() && (!r.Addr.Is4() || r.Addr.IsUnspecified()) {
			t.Errorf("address %v", r.Addr)
		}
		prepared, err := dhcpv4.NewReplyFromRequest(req)
		if err != nil {
			return
		}
		if nak := Nak(req, prepared, ServerID(req.RelayAgentInfo(), self), r.State.String()); len(nak.ToBytes()) < 300 {
			t.Error("a short NAK")
		}
	})
}
