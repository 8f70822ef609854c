package link

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

var comparers = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
}

func TestParseNetwork(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddr
	for text, want := range map[string]Network{
		"192.0.2.0/24": {Prefix: netip.MustParsePrefix("192.0.2.0/24"), Mask: net.CIDRMask(24, 32)},
		"192.0.2.0/24,router:192.0.2.1|192.0.2.2,dns:198.51.100.53,mask:255.255.0.0,pool:192.0.2.10-192.0.2.19,pool:192.0.2.30-192.0.2.30": {
			Prefix: netip.MustParsePrefix("192.0.2.0/24"), Mask: net.CIDRMask(16, 32),
			Routers: []netip.Addr{addr("192.0.2.1"), addr("192.0.2.2")}, DNS: []netip.Addr{addr("198.51.100.53")},
			Pools: []Range{{addr("192.0.2.10"), addr("192.0.2.19")}, {addr("192.0.2.30"), addr("192.0.2.30")}},
		},
		"2001:db8::/64,pool:2001:db8::10-2001:db8::1f": {
			Prefix: netip.MustParsePrefix("2001:db8::/64"),
			Pools:  []Range{{addr("2001:db8::10"), addr("2001:db8::1f")}},
		},
	} {
		got, err := ParseNetwork(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got, comparers); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseNetworkMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                 `"" is not a network in CIDR notation`,
		"192.0.2.0":                        `"192.0.2.0" is not a network in CIDR notation`,
		"192.0.2.1/24":                     `192.0.2.1/24 has host bits set; the network is 192.0.2.0/24`,
		"192.0.2.0/24,gateway:192.0.2.1":   `unknown key "gateway"`,
		"192.0.2.0/24,router:198.51.100.1": `router 198.51.100.1 is outside 192.0.2.0/24`,
		"192.0.2.0/24,router:":             `router "" is not an address of the family of 192.0.2.0/24`,
		"192.0.2.0/24,dns:2001:db8::53":    `dns "2001:db8::53" is not an address of the family of 192.0.2.0/24`,
		"192.0.2.0/24,mask:255.0.255.0":    `mask 255.0.255.0 is not ones followed by zeros`,
		"192.0.2.0/24,mask:24":             `mask "24" is not an IPv4 mask`,
		"192.0.2.0/24,mask:255.0.0.0,mask:255.0.0.0":        `mask is given twice`,
		"192.0.2.0/24,pool:192.0.2.9":                       `pool "192.0.2.9" is not START-END`,
		"192.0.2.0/24,pool:192.0.2.9-192.0.2.1":             `pool 192.0.2.9-192.0.2.1 ends before its start`,
		"192.0.2.0/24,pool:192.0.2.9-192.0.3.1":             `pool 192.0.2.9-192.0.3.1 is outside 192.0.2.0/24`,
		"192.0.2.0/24,router:192.0.3.1,pool:1-2,colour:red": "router 192.0.3.1 is outside 192.0.2.0/24\npool \"1-2\" is not START-END\nunknown key \"colour\"",
		"192.0.2.0/24,pool:192.0.2.9-2001:db8::1":           `pool "192.0.2.9-2001:db8::1" is not START-END`,
	} {
		_, err := ParseNetwork(text)
		if err == nil {
			t.Errorf("%s: no error", text)
			continue
		}
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// TestUnknownKey has the error tell the keys that there are, for a suggestion.
func TestUnknownKey(t *testing.T) {
	t.Parallel()
	_, err := ParseNetwork("192.0.2.0/24,gateway:192.0.2.1")
	var u interface{ Unknown() (string, []string) }
	if !errors.As(err, &u) {
		t.Fatalf("%v does not tell the keys", err)
	}
	word, known := u.Unknown()
	if diff := cmp.Diff([]string{"gateway", "router", "dns", "mask", "pool"}, append([]string{word}, known...)); diff != "" {
		t.Errorf("word and keys (-want +got):\n%s", diff)
	}
}

func FuzzParseNetwork(f *testing.F) {
	f.Add("192.0.2.0/24,router:192.0.2.1|192.0.2.2,dns:198.51.100.53,mask:255.255.0.0,pool:192.0.2.10-192.0.2.19")
	f.Add("2001:db8::/64,pool:2001:db8::10-2001:db8::1f")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseNetwork(text)
		if err != nil {
			return
		}
		for _, p := range n.Pools {
			if !n.Prefix.Contains(p.First) || !n.Prefix.Contains(p.Last) || p.Last.Less(p.First) {
				t.Errorf("pool %v of %v", p, n.Prefix)
			}
		}
	})
}

func TestTable(t *testing.T) {
	t.Parallel()
	var networks []Network
	for _, text := range []string{"192.0.0.0/16", "192.0.2.0/24", "0.0.0.0/0,router:10.0.0.1", "192.0.2.128/25"} {
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
	for addr, want := range map[string]string{
		"192.0.2.200": "192.0.2.128/25", "192.0.2.1": "192.0.2.0/24", "192.0.9.9": "192.0.0.0/16", "10.1.2.3": "0.0.0.0/0", "2001:db8::1": "",
	} {
		got, ok := table.Lookup(netip.MustParseAddr(addr))
		if ok != (want != "") || ok && got.Prefix.String() != want {
			t.Errorf("%s: %v %v, want %s", addr, got.Prefix, ok, want)
		}
	}
	if _, err := NewTable(append(networks, networks[1])); err == nil || err.Error() != "subnet 192.0.2.0/24 is declared twice" {
		t.Errorf("twice: %v", err)
	}
	if (Table{}).Empty() != true || table.Empty() {
		t.Error("Empty")
	}
}

// TestRelayed has the order in which a request names the client's network.
func TestRelayed(t *testing.T) {
	t.Parallel()
	link := dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{5, 4, 192, 0, 2, 82})
	short := dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{5, 3, 192, 0, 2})
	broken := dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{5, 9, 1})
	selection := dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(118), []byte{192, 0, 2, 118})
	giaddr := dhcpv4.WithGatewayIP(net.IPv4(192, 0, 2, 1))
	for name, c := range map[string]struct {
		with []dhcpv4.Modifier
		want string
	}{
		"direct":              {nil, "invalid IP"},
		"giaddr":              {[]dhcpv4.Modifier{giaddr}, "192.0.2.1"},
		"subnet selection":    {[]dhcpv4.Modifier{giaddr, selection}, "192.0.2.118"},
		"link selection":      {[]dhcpv4.Modifier{giaddr, selection, link}, "192.0.2.82"},
		"short sub-option":    {[]dhcpv4.Modifier{giaddr, short}, "192.0.2.1"},
		"broken relay option": {[]dhcpv4.Modifier{giaddr, broken}, "192.0.2.1"},
	} {
		req, err := dhcpv4.New(c.with...)
		if err != nil {
			t.Fatal(err)
		}
		if got := Relayed(req, req.RelayAgentInfo()).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestReceiving has the addresses of receiving interfaces and the one that
// tells the client's network.
func TestReceiving(t *testing.T) {
	t.Parallel()
	self := netip.MustParseAddr("192.0.2.1")
	for want, interfaces := range map[string][]string{
		"192.0.2.1":    {"", "192.0.2.1/24", "198.51.100.1/24 192.0.2.7/24", "2001:db8::1/64"},
		"198.51.100.1": {"198.51.100.1/24", "2001:db8::1/64 198.51.100.1/24 203.0.113.1/24"},
	} {
		for _, words := range interfaces {
			var networks []netip.Prefix
			for _, word := range strings.Fields(words) {
				networks = append(networks, netip.MustParsePrefix(word))
			}
			if got := Receiving(networks, self); got.String() != want {
				t.Errorf("%q: %v, want %s", words, got, want)
			}
		}
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	got, err := Source(netip.MustParseAddr("127.0.0.1"))
	if err != nil || got.String() != "127.0.0.1" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := Source(netip.Addr{}); err == nil {
		t.Error("no error without an address")
	}
}
