package link

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

func TestRelayed6(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		links []string // of the relays, the nearest to the client first
		want  string
	}{
		"direct":                         {nil, "invalid IP"},
		"relayed":                        {[]string{"2001:db8:1::1"}, "2001:db8:1::1"},
		"the nearest to the client":      {[]string{"2001:db8:1::1", "2001:db8:2::1"}, "2001:db8:1::1"},
		"a switch that tells none":       {[]string{"::", "2001:db8:2::1", "2001:db8:3::1"}, "2001:db8:2::1"},
		"link-local is no network":       {[]string{"fe80::1"}, "invalid IP"},
		"IPv4 is no network of DHCPv6":   {[]string{"192.0.2.1"}, "invalid IP"},
		"unique local addresses will do": {[]string{"fd00::1"}, "fd00::1"},
	} {
		var req dhcpv6.DHCPv6 = dhcptest.Request6(t, "02:00:00:00:00:01", dhcpv6.MessageTypeSolicit)
		for _, l := range c.links {
			req = dhcptest.Through(t, req, l, "fe80::9")
		}
		if got := Relayed6(req).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := Relayed6(&dhcpv6.RelayMessage{LinkAddr: net.ParseIP("2001:db8::1")}); got.String() != "2001:db8::1" {
		t.Errorf("a relay that passed nothing on: %v", got)
	}
}

func TestFind6(t *testing.T) {
	t.Parallel()
	var networks []Network
	for _, text := range []string{"2001:db8:1::/64", "2001:db8:2::/64", "2001:db8::/32"} {
		n, err := ParseNetwork(text)
		if err != nil {
			t.Fatal(err)
		}
		networks = append(networks, n)
	}
	table, err := NewTable(networks)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ relayed, receiving, want string }{
		"relayed":                     {"2001:db8:1::1", "2001:db8:2::1/64", "2001:db8:1::/64"},
		"relay in no declared one":    {"2001:db9::1", "2001:db8:2::1/64", ""},
		"direct":                      {"", "fe80::1/64 192.0.2.1/24 2001:db8:2::1/64 2001:db8:1::1/64", "2001:db8:2::/64"},
		"the shorter prefix":          {"", "2001:db8:3::1/64", "2001:db8::/32"},
		"first that lies in declared": {"", "2001:db9::1/64 2001:db8:1::1/64", "2001:db8:1::/64"},
		"not told":                    {"", "", ""},
	} {
		relayed, _ := netip.ParseAddr(c.relayed)
		got := ""
		if n, ok := table.Find6(relayed, prefixes(c.receiving)); ok {
			got = n.Prefix.String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestReceiving6(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		"":                                     "invalid IP",
		"fe80::1/64 192.0.2.1/24":              "invalid IP",
		"fe80::1/64 fd00::1/64 2001:db8::1/64": "fd00::1",
	} {
		if got := Receiving6(prefixes(list)).String(); got != want {
			t.Errorf("%q: %s, want %s", list, got, want)
		}
	}
}

func prefixes(text string) []netip.Prefix {
	var list []netip.Prefix
	for word := range strings.FieldsSeq(text) {
		list = append(list, netip.MustParsePrefix(word))
	}
	return list
}

func TestChoose6(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ own, want, got string }{
		{"", "", "this host has no global IPv6 address"},
		{"2001:db8::1/64", "", "2001:db8::1/64"},
		{"2001:db8::1/64 fd00::1/48", "", "this host has 2 global IPv6 addresses"},
		{"2001:db8::1/64 fd00::1/48", "fd00::1", "fd00::1/48"},
		{"2001:db8::1/64", "fd00::1", "fd00::1 is no address of this host"},
	} {
		want, _ := netip.ParseAddr(c.want)
		p, err := choose6(prefixes(c.own), want)
		got := p.String()
		if err != nil {
			got = err.Error()
		}
		if got != c.got {
			t.Errorf("%q of %q: %s, want %s", c.want, c.own, got, c.got)
		}
	}
}

func TestDUID(t *testing.T) {
	t.Parallel()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	hardware := 0
	for _, i := range interfaces {
		if len(i.HardwareAddr) != 6 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		hardware++
		got, err := DUID(i.Index)
		if want := dhcptest.LL(i.HardwareAddr.String()); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", i.Name, got, err, want)
		}
	}
	if got, err := DUID(0); (err == nil) != (hardware > 0) || err == nil && got == nil {
		t.Errorf("no interface told: %v, %v", got, err)
	}
}
