package server

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// TestRecorder has packets of all kinds recorded: octets as they came and as they
// left, from whom to whom, and what was decided by whom.
func TestRecorder(t *testing.T) {
	t.Parallel()
	p := process.New()
	ring := record.New(record.MinSize)
	process.Publish(p, record.Shared, ring)
	lt := startLoopOf(t, p, chains{
		v4: []link4{
			func(req, resp *dhcpv4.DHCPv4, from process.Origin) (*dhcpv4.DHCPv4, bool) {
				switch req.MessageType() {
				case dhcpv4.MessageTypeRequest:
					from.Decided("coresmd", "no reply", "another server's")
					return nil, true
				case dhcpv4.MessageTypeInform:
					panic("an inform")
				case dhcpv4.MessageTypeRelease:
					return nil, true
				}
				from.Decided("coresmd", "passed on", "unknown machine")
				return resp, false
			},
			func(req, resp *dhcpv4.DHCPv4, from process.Origin) (*dhcpv4.DHCPv4, bool) {
				if len(req.UserClass()) > 0 { // it is for a plugin of CoreDHCP
					return resp, false
				}
				from.Decided("bootloop", "OFFER", "")
				return address(req, resp, from)
			},
		},
		v6: []link6{func(_, resp dhcpv6.DHCPv6, from process.Origin) (dhcpv6.DHCPv6, bool) {
			from.Decided("coresmd", "REPLY", "")
			dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("2001:db8::11")})(resp)
			return resp, true
		}},
	})
	discover, strange := relayed(t, dhcpv4.MessageTypeDiscover, 1), relayed(t, dhcpv4.MessageTypeDiscover, 2, generic(77, 4, 'i', 'P', 'X', 'E'))
	request, inform := relayed(t, dhcpv4.MessageTypeRequest, 3), relayed(t, dhcpv4.MessageTypeInform, 4)
	release, garbage := relayed(t, dhcpv4.MessageTypeRelease, 5), []byte("no message")
	solicitation := solicit(t).ToBytes()
	// One after the other: what is not answered is waited for in the ring.
	send(t, lt.v4, discover)
	offer := receiveOctets(t, lt.v4)
	send(t, lt.v6, solicitation)
	advertise := receiveOctets(t, lt.v6)
	for i, octets := range [][]byte{garbage, strange, request, inform, release} {
		send(t, lt.v4, octets)
		eventually(t, "the packet is recorded", func() bool { _, n := ring.Oldest(); return n == i+3 })
	}

	client4, client6 := lt.v4.LocalAddr().(*net.UDPAddr).AddrPort(), lt.v6.LocalAddr().(*net.UDPAddr).AddrPort()
	server4, server6 := netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("[::1]:0")
	from4 := record.Exchange{From: client4, To: server4}
	want := []record.Exchange{from4, {From: client6, To: server6, V6: true}, from4, from4, from4, from4, from4}
	want[0].Request, want[0].Reply, want[0].ReplyFrom, want[0].ReplyTo = discover, offer, server4, client4
	want[1].Request, want[1].Reply, want[1].ReplyFrom, want[1].ReplyTo = solicitation, advertise, server6, client6
	want[2].Request, want[3].Request, want[4].Request, want[5].Request, want[6].Request = garbage, strange, request, inform, release
	passed := record.Decision{Plugin: "coresmd", Verdict: "passed on", Reason: "unknown machine"}
	loop := func(why string) record.Decision {
		return record.Decision{Plugin: "coredhcp", Verdict: "no reply", Reason: why}
	}
	for i, decisions := range [][]record.Decision{
		{passed, {Plugin: "bootloop", Verdict: "OFFER"}},
		{{Plugin: "coresmd", Verdict: "REPLY"}},
		{loop("malformed")},
		{passed, loop("no_address")},
		{{Plugin: "coresmd", Verdict: "no reply", Reason: "another server's"}},
		{loop("panic")},
		{loop("silence")},
	} {
		want[i].Decisions = decisions
	}
	var got []record.Exchange
	ring.Each(func(x *record.Exchange) bool {
		if age := time.Since(x.Time); age < 0 || age > soon || x.Reply != nil && x.Replied.Before(x.Time) {
			t.Errorf("time %v, replied %v", x.Time, x.Replied)
		}
		if x.Interface.Name != "lo" || len(x.Interface.Networks) == 0 || x.Interface.Networks[0] != netip.MustParsePrefix("127.0.0.1/8") {
			t.Errorf("interface %v", x.Interface)
		}
		one := *x
		one.Request, one.Reply = bytes.Clone(x.Request), bytes.Clone(x.Reply)
		one.Decisions = append([]record.Decision(nil), x.Decisions...)
		got = append(got, one)
		return true
	})
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(record.Exchange{}, "Time", "Replied", "Interface"), cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
