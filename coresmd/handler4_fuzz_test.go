package coresmd

import (
	"bytes"
	"io"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/sirupsen/logrus"
)

// FuzzHandler4 takes octets from the wire through the handler to octets on the
// wire: nothing panics, and what is sent fits the request.
func FuzzHandler4(f *testing.F) {
	for _, seed := range [][]dhcpv4.Modifier{
		nil,
		mods(raw(93, 7)), // one octet where two belong ended other servers
		mods(raw(93)), mods(raw(77, 200, 'i')), mods(raw(82, 5, 9, 1)), mods(raw(118, 1)), mods(raw(50, 1), raw(54, 1)),
		mods(pxe(iana.EFI_X86_64)), mods(httpClient), mods(raw(175)), mods(ciaddr("192.0.2.11")), mods(ciaddr("192.0.2.1")),
		mods(relay("192.0.2.254"), raw(82, 11, 4, 192, 0, 2, 254)),
	} {
		for _, mac := range []string{node, bmc, noAddrs, strange} {
			for _, kind := range []dhcpv4.MessageType{discover, request, inform, release} {
				f.Add(dhcptest.Request4(f, mac, kind, seed...).ToBytes())
			}
		}
	}
	b := known(f, "domain=example.org")
	f.Fuzz(func(t *testing.T, octets []byte) {
		req, err := dhcpv4.FromBytes(octets)
		if err != nil {
			return
		}
		prepared, ok := dhcptest.Prepare4(req)
		if !ok {
			return
		}
		dhcptest.ServerID("192.0.2.1")(req, prepared)
		b.log.Reset()
		reply, ended := b.handle(req, prepared)
		if e := b.log.LastEntry(); e.Data["panic"] != nil {
			t.Fatalf("panic: %v\n%s", e.Data["panic"], e.Message)
		}
		if !ended && reply != prepared {
			t.Error("passed on, but not untouched")
		}
		if reply == nil || !ended {
			return
		}
		checkReply(t, req, dhcptest.Parse4(t, reply.ToBytes()))
	})
}

// checkReply holds what is true of every reply.
func checkReply(t *testing.T, req, reply *dhcpv4.DHCPv4) {
	t.Helper()
	if reply.OpCode != dhcpv4.OpcodeBootReply || reply.TransactionID != req.TransactionID || !bytes.Equal(reply.ClientHWAddr, req.ClientHWAddr) {
		t.Errorf("reply is not for its request: %s", reply.Summary())
	}
	if len(reply.ServerIdentifier()) != 4 {
		t.Errorf("no server identifier: %s", reply.Summary())
	}
	zero := reply.YourIPAddr.IsUnspecified()
	switch want := reply.MessageType(); want {
	case dhcpv4.MessageTypeOffer:
		if req.MessageType() != discover || zero {
			t.Errorf("OFFER: %s", reply.Summary())
		}
	case dhcpv4.MessageTypeAck:
		if zero != (req.MessageType() == inform) {
			t.Errorf("ACK: %s", reply.Summary())
		}
	case dhcpv4.MessageTypeNak:
		if req.MessageType() != request || !zero {
			t.Errorf("NAK: %s", reply.Summary())
		}
	default:
		t.Errorf("a reply of type %v", want)
	}
}

// relayedPXE is the DISCOVER of firmware behind a relay, on the wire.
func relayedPXE(tb testing.TB) []byte {
	return dhcptest.Request4(tb, node, discover, pxe(iana.EFI_X86_64),
		dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName),
		relay("192.0.2.254"), raw(82, 1, 4, 'e', 't', 'h', '0')).ToBytes()
}

// BenchmarkDiscover4 has the handler for a known DISCOVER beside the cost of
// reading and writing the same packet, which no server can avoid.
func BenchmarkDiscover4(b *testing.B) {
	octets := relayedPXE(b)
	b.Run("FromBytes+ToBytes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := dhcpv4.FromBytes(octets)
			if err != nil {
				b.Fatal(err)
			}
			_ = p.ToBytes()
		}
	})
	handler := func(level logrus.Level) func(*testing.B) {
		return func(b *testing.B) {
			bench := known(b)
			logger := logrus.New()
			logger.SetOutput(io.Discard)
			logger.SetLevel(level)
			bench.plugin.log = logrus.NewEntry(logger)
			req := dhcptest.Parse4(b, octets)
			first, _ := dhcptest.Prepare4(req)
			dhcptest.ServerID("192.0.2.1")(req, first)
			spare := make(dhcpv4.Options)
			b.ReportAllocs()
			for b.Loop() {
				prepared := *first // a reply of its own, its map reused
				clear(spare)
				for code, value := range first.Options {
					spare[code] = value
				}
				prepared.Options = spare
				if reply, _ := bench.handle(req, &prepared); reply == nil {
					b.Fatal("no reply")
				}
			}
		}
	}
	b.Run("handler", handler(logrus.WarnLevel))
	b.Run("handler-with-log-line", handler(logrus.InfoLevel))
}
