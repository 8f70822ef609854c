package coresmd

import (
	"io"
	"slices"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/sirupsen/logrus"
)

// FuzzHandler6 takes octets from the wire, through relays or not, through the
// handler to octets on the wire: nothing panics, and what is sent fits the
// request.
func FuzzHandler6(f *testing.F) {
	for _, mac := range []string{node, twoNets, v4Only, noAddrs, strange} {
		for _, with := range [][]dhcpv6.Modifier{
			nil, mods6(na(1)), mods6(na(1, "2001:db8:1::99"), na(1), ta(2), pd(3)), mods6(toUs, na(1, "2001:db8:1::11", "2001:db8:1::12"), na(2)),
			mods6(uuid, toUs), mods6(dhcpv6.WithRapidCommit, na(1)), append(mods6(na(1)), efi6...), append(mods6(na(1)), ipxe6...), append(mods6(na(1)), http6...),
			mods6(dhcptest.Raw6(dhcpv6.OptionFQDN, 1), na(1)),
		} {
			for _, kind := range []dhcpv6.MessageType{solicit, request6, renew, rebind, confirm, release6, decline6, info} {
				row := row6{mac: mac, kind: kind, with: with}
				f.Add(row.request(f).ToBytes())
				row.links = []string{"::", "2001:db8:2::1", "2001:db8:9::1"}
				f.Add(row.request(f).ToBytes())
			}
		}
	}
	f.Add((&dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward}).ToBytes())
	benches := []bench6{known6(f, "domain=example.org"), known6(f, "subnet=2001:db8:1::/64", "subnet=2001:db8:2::/64", "rule=type:Node,ntp:2001:db8::7,hostname:n{04d}")}
	f.Fuzz(func(t *testing.T, octets []byte) {
		for i, b := range benches {
			fuzz6(t, b, octets, []process.Origin{{}, near}[i])
		}
	})
}

func fuzz6(t *testing.T, b bench6, octets []byte, from process.Origin) {
	req, err := dhcpv6.FromBytes(octets)
	if err != nil {
		return
	}
	resp, ok := dhcptest.Prepare6(req)
	if !ok {
		return
	}
	resp.AddOption(dhcpv6.OptServerID(we))
	b.log.Reset()
	reply, ended := b.six.Handle(req, resp, from)
	if e := b.log.LastEntry(); e != nil && e.Data["panic"] != nil {
		t.Fatalf("panic: %v\n%s", e.Data["panic"], e.Message)
	}
	if reply == nil {
		return
	}
	if relay, ok := req.(*dhcpv6.RelayMessage); ok {
		if _, err := dhcpv6.NewRelayReplFromRelayForw(relay, reply.(*dhcpv6.Message)); err != nil {
			t.Errorf("a reply that cannot go back through its relays: %v", err)
		}
	}
	inner, err := req.GetInnerMessage()
	if err != nil {
		t.Fatal(err)
	}
	checkReply6(t, inner, dhcptest.Parse6(t, reply.ToBytes()).(*dhcpv6.Message), ended)
}

// checkReply6 holds what is true of every reply.
func checkReply6(t *testing.T, req, reply *dhcpv6.Message, ended bool) {
	t.Helper()
	if reply.TransactionID != req.TransactionID || reply.Options.ServerID() == nil {
		t.Errorf("reply is not for its request: %s", reply.Summary())
	}
	if advertise := reply.MessageType == dhcpv6.MessageTypeAdvertise; advertise && req.MessageType != solicit {
		t.Errorf("an Advertise for a %v", req.MessageType)
	}
	var asked, given [][4]byte
	addrs := make(map[string]bool)
	for _, ia := range req.Options.IANA() {
		asked = append(asked, ia.IaId)
	}
	for _, ia := range reply.Options.IANA() {
		if !slices.Contains(asked, ia.IaId) || slices.Contains(given, ia.IaId) {
			t.Errorf("IA %x was not asked for, or is there twice: %s", ia.IaId, reply.Summary())
		}
		given = append(given, ia.IaId)
		for _, a := range ia.Options.Addresses() {
			if text := a.IPv6Addr.String(); a.ValidLifetime > 0 && addrs[text] {
				t.Errorf("%s is in two IAs: %s", text, reply.Summary())
			} else if a.ValidLifetime > 0 {
				addrs[text] = true
			}
		}
	}
	if req.MessageType == solicit && reply.MessageType == dhcpv6.MessageTypeReply && len(addrs) == 0 {
		t.Errorf("a Reply without an address to a Solicit: %s", reply.Summary())
	}
	if !ended && len(addrs) > 0 {
		t.Errorf("passed on with an address: %s", reply.Summary())
	}
}

// BenchmarkHandler6 has the handler for a known Solicit of firmware behind a
// relay beside the cost of reading and writing the same packet, which no server
// can avoid.
func BenchmarkHandler6(b *testing.B) {
	octets := row6{mac: node, kind: solicit, with: append(mods6(na(1)), efi6...), links: []string{"2001:db8:1::1"}}.request(b).ToBytes()
	b.Run("FromBytes+ToBytes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := dhcpv6.FromBytes(octets)
			if err != nil {
				b.Fatal(err)
			}
			_ = p.ToBytes()
		}
	})
	handler := func(level logrus.Level) func(*testing.B) {
		return func(b *testing.B) {
			bench := known6(b)
			logger := logrus.New()
			logger.SetOutput(io.Discard)
			logger.SetLevel(level)
			bench.six.log = logrus.NewEntry(logger)
			req := dhcptest.Parse6(b, octets)
			first, _ := dhcptest.Prepare6(req)
			first.AddOption(dhcpv6.OptServerID(we))
			options := first.(*dhcpv6.Message).Options.Options
			spare := make(dhcpv6.Options, 0, 16)
			b.ReportAllocs()
			for b.Loop() {
				prepared := *first.(*dhcpv6.Message) // a reply of its own, its list reused
				prepared.Options.Options = append(spare[:0], options...)
				if reply, _ := bench.six.Handle(req, &prepared, near); reply == nil {
					b.Fatal("no reply")
				}
			}
		}
	}
	b.Run("handler", handler(logrus.WarnLevel))
	b.Run("handler-with-log-line", handler(logrus.InfoLevel))
}
