package exchange

import (
	"net"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

func TestSays4(t *testing.T) {
	t.Parallel()
	addr := dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 11))
	none := dhcpv4.WithYourIP(net.IPv4zero)
	for name, c := range map[string]struct {
		asked, kind dhcpv4.MessageType
		with        dhcpv4.Modifier
		want        bool
	}{
		"an offer":            {dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeOffer, addr, true},
		"an offer of nothing": {dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeOffer, none, false},
		"an ACK":              {dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeAck, addr, true},
		"an ACK of nothing":   {dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeAck, none, false},
		"a NAK":               {dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeNak, none, true},
		"to an INFORM":        {dhcpv4.MessageTypeInform, dhcpv4.MessageTypeAck, none, true},
		"to a RELEASE":        {dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeNone, none, false},
		"to a DECLINE":        {dhcpv4.MessageTypeDecline, dhcpv4.MessageTypeNone, none, false},
	} {
		if got := Says4(c.asked, message(t, c.kind, c.with)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestSays6(t *testing.T) {
	t.Parallel()
	dns := dhcpv6.WithDNS(net.ParseIP("2001:db8::53"))
	for name, c := range map[string]struct {
		asked dhcpv6.OptionCode
		with  dhcpv6.Modifier
		want  bool
	}{
		"nothing":           {dhcpv6.OptionFQDN, dhcpv6.WithServerID(we), false},
		"an IA":             {dhcpv6.OptionFQDN, dhcptest.NA(1), true},
		"a prefix":          {dhcpv6.OptionFQDN, dhcptest.PD(1), true},
		"a status":          {dhcpv6.OptionFQDN, dhcpv6.WithOption(Status(0)), true},
		"what it asked for": {dhcpv6.OptionDNSRecursiveNameServer, dns, true},
		"something else":    {dhcpv6.OptionFQDN, dns, false},
	} {
		req := dhcptest.Request6(t, mac, dhcpv6.MessageTypeInformationRequest, dhcpv6.WithRequestedOptions(c.asked))
		if got := Says6(req, dhcptest.Request6(t, mac, dhcpv6.MessageTypeReply, c.with)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
