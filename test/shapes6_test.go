package test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// A shapeRequest6 is one request of DHCPv6 that a shape with a section server6 is asked
// through a relay.
type shapeRequest6 struct {
	who  string
	mac  int
	kind dhcpv6.MessageType
	with []dhcpv6.Modifier
}

func shapeRequests6() []shapeRequest6 {
	const solicit = dhcpv6.MessageTypeSolicit
	ia, ours := dhcptest.NA(1), dhcpv6.WithServerID(dhcptest.LL("02:00:00:00:01:00"))
	with := func(m ...dhcpv6.Modifier) []dhcpv6.Modifier { return m }
	return []shapeRequest6{
		{"node", 1, solicit, with(ia)},
		{"node, what it asks for", 1, solicit, with(ia, dhcpv6.WithRequestedOptions(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionFQDN))},
		{"node, its address", 1, dhcpv6.MessageTypeRequest, with(ours, dhcptest.NA(1, "2001:db8:1::11"))},
		{"node, another address", 1, dhcpv6.MessageTypeRenew, with(ours, dhcptest.NA(1, "2001:db8:1::99"))},
		{"node, UEFI x86-64", 1, solicit, with(ia, dhcpv6.WithArchType(iana.EFI_X86_64))},
		{"node, iPXE", 1, solicit, with(ia, dhcpv6.WithUserClass([]byte("iPXE")))},
		{"node of IPv4 only", 2, solicit, with(ia)},
		{"stranger", 0x99, solicit, with(ia)},
	}
}

// replies6 asks everything and returns a line for each answer.
func (c *shapeClients) replies6(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for i, r := range shapeRequests6() {
		fmt.Fprintf(&b, "%s\n  %v: %s\n", r.who, r.kind, c.ask6(t, byte(i), r))
	}
	return b.String()
}

// ask6 takes a request through a relay until it is answered.
func (c *shapeClients) ask6(t *testing.T, i byte, r shapeRequest6) string {
	t.Helper()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, byte(r.mac)}.String()
	req := dhcptest.Request6(t, mac, r.kind, r.with...)
	req.TransactionID[2] = i
	relayed := dhcptest.Through(t, req, "2001:db8:1::4", "fe80::1", dhcptest.LinkLayer(mac))
	var line string
	buf := make([]byte, 1500)
	dhcptest.Eventually(t, 10*time.Second, func() error {
		if _, err := c.relay6.WriteTo(relayed.ToBytes(), &net.UDPAddr{IP: net.ParseIP("2001:db8:1::1"), Port: dhcpv6.DefaultServerPort}); err != nil {
			return err
		}
		if err := c.relay6.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		n, _, err := c.relay6.ReadFrom(buf)
		if err != nil {
			return err
		}
		reply, err := dhcptest.Parse6(t, buf[:n]).GetInnerMessage()
		if err != nil || reply.TransactionID != req.TransactionID {
			return fmt.Errorf("another answer: %v", err)
		}
		line = shapeLine6(reply)
		return nil
	})
	return line
}

// shapeLine6 is a whole reply but for what all have: the transaction and the client.
func shapeLine6(d *dhcpv6.Message) string {
	words := []string{d.MessageType.String()}
	for _, o := range d.Options.Options {
		if o.Code() != dhcpv6.OptionClientID {
			words = append(words, strings.ReplaceAll(o.String(), " ", "_"))
		}
	}
	return strings.Join(words, " ")
}
