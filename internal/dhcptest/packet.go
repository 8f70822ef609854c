// Package dhcptest is the kit of the tests: packets and exchanges, golden
// replies, network namespaces, real clients and the real SMD.
package dhcptest

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/coredhcp/coredhcp/handler"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Request4 returns a DHCPv4 message of a client as it comes from the wire. Its
// transaction id is fixed.
func Request4(tb testing.TB, mac string, kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	tb.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		tb.Fatal(err)
	}
	req, err := dhcpv4.New(dhcpv4.PrependModifiers(modifiers,
		dhcpv4.WithHwAddr(hw),
		dhcpv4.WithTransactionID(dhcpv4.TransactionID{0xca, 0xfe, 0, 1}),
		dhcpv4.WithMessageType(kind),
	)...)
	if err != nil {
		tb.Fatal(err)
	}
	return Parse4(tb, req.ToBytes())
}

// Parse4 parses octets that must be a DHCPv4 message.
func Parse4(tb testing.TB, octets []byte) *dhcpv4.DHCPv4 {
	tb.Helper()
	packet, err := dhcpv4.FromBytes(octets)
	if err != nil {
		tb.Fatal(err)
	}
	return packet
}

// Prepare4 returns the reply that CoreDHCP prepares for a request, and false
// for a message that CoreDHCP gives to no plugin.
func Prepare4(req *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
	if req.OpCode != dhcpv4.OpcodeBootRequest {
		return nil, false
	}
	reply, err := dhcpv4.NewReplyFromRequest(req)
	if err != nil {
		return nil, false
	}
	switch req.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		reply.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeOffer))
	case dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform:
		reply.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeAck))
	case dhcpv4.MessageTypeRelease:
	default:
		return nil, false
	}
	return reply, true
}

// ServerID returns a handler that does what CoreDHCP's server_id does, without
// its package variable.
func ServerID(id string) handler.Handler4 {
	addr := net.IP(netip.MustParseAddr(id).AsSlice())
	return func(_, resp *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
		resp.ServerIPAddr = addr
		resp.UpdateOption(dhcpv4.OptServerIdentifier(addr))
		return resp, false
	}
}

// Earlier returns a handler that sets options as earlier plugins do.
func Earlier(modifiers ...dhcpv4.Modifier) handler.Handler4 {
	return func(_, resp *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
		for _, modify := range modifiers {
			modify(resp)
		}
		return resp, false
	}
}

// Exchange4 takes a request through a chain as CoreDHCP does. It returns the
// reply as a client parses it, nil for silence, and whether the chain was ended
// by a handler rather than run through.
func Exchange4(tb testing.TB, req *dhcpv4.DHCPv4, chain ...handler.Handler4) (reply *dhcpv4.DHCPv4, ended bool) {
	tb.Helper()
	reply, ok := Prepare4(req)
	if !ok {
		tb.Fatalf("CoreDHCP gives no plugin a message like this: %s", req.Summary())
	}
	for _, handle := range chain {
		if reply, ended = handle(req, reply); ended {
			break
		}
	}
	if reply == nil {
		return nil, ended
	}
	return Parse4(tb, reply.ToBytes()), ended
}

// Golden compares text with the file testdata/NAME.golden. With the
// environment variable UPDATE_GOLDEN set it writes the file instead and fails,
// so that a run that wrote is not taken for one that compared.
func Golden(tb testing.TB, name, got string) {
	tb.Helper()
	path := filepath.Join("testdata", name+".golden")
	want, wrote := golden(tb, path, []byte(got))
	if wrote {
		return
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// golden returns what a golden file holds, or writes it.
func golden(tb testing.TB, path string, got []byte) (want []byte, wrote bool) {
	tb.Helper()
	if os.Getenv("UPDATE_GOLDEN") == "" {
		want, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		return want, false
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, got, 0o644); err != nil {
		tb.Fatal(err)
	}
	tb.Errorf("wrote %s", path)
	return nil, true
}

// Inventory writes a folder that a file URL may name as an inventory.
func Inventory(tb testing.TB, interfaces, components string) (folder string) {
	tb.Helper()
	folder = tb.TempDir()
	WriteInventory(tb, folder, interfaces, components)
	return folder
}

// WriteInventory replaces the files of an inventory folder.
func WriteInventory(tb testing.TB, folder, interfaces, components string) {
	tb.Helper()
	for name, text := range map[string]string{"EthernetInterfaces.json": interfaces, "Components.json": components} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
}
