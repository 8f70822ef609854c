package server

import (
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// request4 is a message of a client that was relayed.
func request4(t testing.TB, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.New(dhcpv4.PrependModifiers(with,
		dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 1}),
		dhcpv4.WithTransactionID(dhcpv4.TransactionID{0xca, 0xfe, 0, 1}),
		dhcpv4.WithMessageType(kind))...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func generic(code uint8, value ...byte) dhcpv4.Modifier {
	return dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), value)
}

// The prepared reply is the one that CoreDHCP's loop makes.
func TestPrepare4(t *testing.T) {
	t.Parallel()
	for kind, replyKind := range kinds4 {
		req := request4(t, kind, generic(82, 1, 1, 'x'), generic(61, 1, 2), dhcpv4.WithGatewayIP(net.IPv4(192, 0, 2, 254)), generic(55, 1, 3))
		req.Flags = 0x8000
		want, err := dhcpv4.NewReplyFromRequest(req)
		if err != nil {
			t.Fatal(err)
		}
		if replyKind != dhcpv4.MessageTypeNone {
			want.UpdateOption(dhcpv4.OptMessageType(replyKind))
		}
		got := new(dhcpv4.DHCPv4)
		prepare4(got, req, replyKind)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", kind, diff)
		}
	}
}

// FuzzMessage4 has any octets: they are read as the library reads them, and
// written as it writes them, which pads and sorts.
func FuzzMessage4(f *testing.F) {
	long := make([]byte, 700)
	whole := request4(f, dhcpv4.MessageTypeRequest, generic(82, 1, 1, 'x'), generic(61, 1, 2), generic(12), generic(43, long...)).ToBytes()
	f.Add(request4(f, dhcpv4.MessageTypeDiscover).ToBytes())
	f.Add(whole)
	f.Add(whole[:300])
	f.Add(whole[:headerSize4])
	f.Add(append(whole[:headerSize4:headerSize4], 53, 1, 1, 12, 0, 0, 12, 2, 'a', 'b', 12, 0, 12, 1, 'c', 255, 9))
	f.Add(append(whole[:headerSize4:headerSize4], 53, 1, 1, 12))
	f.Add(append(whole[:headerSize4:headerSize4], 53, 1, 1, 12, 9, 255))
	f.Add(request4(f, dhcpv4.MessageTypeInform, func(d *dhcpv4.DHCPv4) {
		d.BootFileName, d.ServerHostName = string(long[:200]), "server"
		d.ClientHWAddr = make(net.HardwareAddr, 16)
	}).ToBytes())
	f.Fuzz(func(t *testing.T, octets []byte) {
		want, err := dhcpv4.FromBytes(octets)
		got := new(dhcpv4.DHCPv4)
		ours := parse4(got, octets)
		if (err == nil) != (ours == nil) {
			t.Fatalf("%v, want %v", ours, err)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("read (-want +got):\n%s", diff)
		}
		if kind4(got) != want.MessageType() || server4(got) != addr4(want.ServerIdentifier()) {
			t.Errorf("type %v of %v, want %v of %v", kind4(got), server4(got), want.MessageType(), want.ServerIdentifier())
		}
		if diff := cmp.Diff(want.ToBytes(), appendMessage4(nil, got)); diff != "" {
			t.Errorf("written (-want +got):\n%s", diff)
		}
	})
}

// The octets of a message that has no addresses at all are those of one with zeros.
func TestMessage4WithoutAddresses(t *testing.T) {
	t.Parallel()
	bare := &dhcpv4.DHCPv4{Options: dhcpv4.Options{53: {5}}}
	if diff := cmp.Diff(bare.ToBytes(), appendMessage4(nil, bare)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The encoder works in room that it is given.
func TestMessage4MakesNoGarbage(t *testing.T) {
	m := request4(t, dhcpv4.MessageTypeRequest, generic(82, 1, 1, 'x'), generic(61, 1, 2))
	room := make([]byte, 0, 600)
	if n := testing.AllocsPerRun(100, func() { room = appendMessage4(room[:0], m) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
