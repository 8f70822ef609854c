package exchange

import (
	"bytes"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A Verdict is what becomes of a request.
type Verdict uint8

// The verdicts.
const (
	Pass      Verdict = iota // to the next plugin, untouched
	Drop                     // silence
	Offer                    // DHCPOFFER
	Ack                      // DHCPACK
	NakReply                 // DHCPNAK
	Advertise                // Advertise of DHCPv6
	Reply                    // Reply of DHCPv6
)

func (v Verdict) String() string {
	return [...]string{"passed on", "no reply", "OFFER", "ACK", "NAK", "ADVERTISE", "REPLY"}[v]
}

// Verdicts are all verdicts, for tables with a row each.
func Verdicts() []Verdict { return []Verdict{Pass, Drop, Offer, Ack, NakReply, Advertise, Reply} }

// VerdictOf says what a reply is; without one it is silence.
func VerdictOf(reply *dhcpv4.DHCPv4) Verdict {
	if reply == nil {
		return Drop
	}
	switch reply.MessageType() {
	case dhcpv4.MessageTypeOffer:
		return Offer
	case dhcpv4.MessageTypeAck:
		return Ack
	case dhcpv4.MessageTypeNak:
		return NakReply
	}
	return Pass
}

// Set returns a modifier that sets an option to octets that nobody writes to.
func Set(code dhcpv4.OptionCode, value []byte) dhcpv4.Modifier {
	number := code.Code()
	return func(d *dhcpv4.DHCPv4) { d.Options[number] = value }
}

// SetServer sets the server identifier.
func SetServer(d *dhcpv4.DHCPv4, server netip.Addr) {
	four := server.As4()
	if !bytes.Equal(d.Options.Get(dhcpv4.OptionServerIdentifier), four[:]) {
		d.Options[dhcpv4.OptionServerIdentifier.Code()] = bytes.Clone(four[:])
	}
}

// Apply has modifiers change a reply.
func Apply(d *dhcpv4.DHCPv4, modifiers []dhcpv4.Modifier) {
	for _, modify := range modifiers {
		modify(d)
	}
}

// Modifiers returns what writes the times into options 51, 58 and 59.
func (t Times) Modifiers() []dhcpv4.Modifier {
	seconds := func(code dhcpv4.OptionCode, d time.Duration) dhcpv4.Modifier {
		return Set(code, dhcpv4.Duration(d).ToBytes())
	}
	return []dhcpv4.Modifier{
		seconds(dhcpv4.OptionIPAddressLeaseTime, t.Lease),
		seconds(dhcpv4.OptionRenewTimeValue, t.T1),
		seconds(dhcpv4.OptionRebindingTimeValue, t.T2),
	}
}

// WithoutLease takes address and times out of a reply: what an INFORM is
// answered with (RFC 2131 section 4.3.5).
func WithoutLease(d *dhcpv4.DHCPv4) {
	d.YourIPAddr = net.IPv4zero.To4()
	d.DeleteOption(dhcpv4.OptionIPAddressLeaseTime)
	d.DeleteOption(dhcpv4.OptionRenewTimeValue)
	d.DeleteOption(dhcpv4.OptionRebindingTimeValue)
}

// Fields returns what every log line of an exchange begins with. The message
// type is not called msg: that is the logger's own key.
func (r Request) Fields(req *dhcpv4.DHCPv4) map[string]any {
	fields := map[string]any{
		"mac": req.ClientHWAddr.String(), "xid": req.TransactionID.String(),
		"message": req.MessageType().String(), "state": r.State.String(),
	}
	if r.Addr.IsValid() {
		fields["ip"] = r.Addr.String()
	}
	if relay := Addr(req.GatewayIPAddr); relay.IsValid() {
		fields["giaddr"] = relay.String()
	}
	return fields
}
