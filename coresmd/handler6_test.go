package coresmd

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/sirupsen/logrus"
)

const testInterfaces6 = `[
 {"MACAddress":"02:00:00:00:00:01","ComponentID":"x3000c0s0b0n0","Type":"Node","IPAddresses":[{"IPAddress":"192.0.2.11"},{"IPAddress":"2001:db8:1::11"}]},
 {"MACAddress":"02:00:00:00:00:02","ComponentID":"x3000c0s0b0n0","Type":"Node","IPAddresses":[{"IPAddress":"2001:db8:2::12"},{"IPAddress":"2001:db8:1::12"},{"IPAddress":"2001:db8:1::112"}]},
 {"MACAddress":"02:00:00:00:00:03","ComponentID":"x3000c0s1b0n0","Type":"Node","IPAddresses":[{"IPAddress":"192.0.2.13"}]},
 {"MACAddress":"02:00:00:00:00:04","ComponentID":"x3000c0s1b0n0","Type":"Node","IPAddresses":[{"IPAddress":" 2001:db8:3::14/64 "}]},
 {"MACAddress":"02:00:00:00:00:05","ComponentID":"x3000c0s1b0n0","Type":"Node","IPAddresses":[]},
 {"MACAddress":"02:00:00:00:00:10","ComponentID":"x3000c0s0b0","Type":"NodeBMC","IPAddresses":[{"IPAddress":"2001:db8:1::110"}]}]`

// More machines of the inventory of DHCPv6.
const (
	v4Only    = "02:00:00:00:00:03"
	withBits  = "02:00:00:00:00:04"
	eui64Peer = "fe80::ff:fe00:1" // of node
)

// we is our server identifier.
var we = dhcptest.LL("02:00:00:00:00:fe")

// A bench6 is a plugin under test that answers both families.
type bench6 struct {
	bench
	six *handler6
}

func six(b bench) bench6 { return bench6{b, newHandler6(b.plugin.service)} }

// known6 starts a plugin on the inventory of DHCPv6.
func known6(tb testing.TB, more ...string) bench6 {
	tb.Helper()
	folder := dhcptest.Inventory(tb, testInterfaces6, testComponents)
	return six(newBench(tb, append([]string{"svc_base_uri=file://" + folder, "ipxe_base_uri=http://[2001:db8::b]:8081/"}, withAddr6(more)...)...))
}

// withAddr6 are words that name the address in URLs, unless they do already.
func withAddr6(words []string) []string {
	if slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "server_addr6") }) {
		return words
	}
	return append(words, "server_addr6=2001:db8::a")
}

// from returns the handler as a packet loop calls it that tells the origin.
func (b bench6) from(o process.Origin) handler.Handler6 {
	return func(req, resp dhcpv6.DHCPv6) (dhcpv6.DHCPv6, bool) { return b.six.Handle(req, resp, o) }
}

// ask takes a request through server_id and the plugin.
func (b bench6) ask(tb testing.TB, req dhcpv6.DHCPv6, o process.Origin) (dhcpv6.DHCPv6, bool) {
	tb.Helper()
	return dhcptest.Exchange6(tb, req, dhcptest.ServerID6(we), b.from(o))
}

// Short names of the messages and of the kit.
const (
	solicit  = dhcpv6.MessageTypeSolicit
	request6 = dhcpv6.MessageTypeRequest
	renew    = dhcpv6.MessageTypeRenew
	rebind   = dhcpv6.MessageTypeRebind
	confirm  = dhcpv6.MessageTypeConfirm
	release6 = dhcpv6.MessageTypeRelease
	decline6 = dhcpv6.MessageTypeDecline
	info     = dhcpv6.MessageTypeInformationRequest
)

var (
	na, ta, pd = dhcptest.NA, dhcptest.TA, dhcptest.PD
	toUs       = dhcpv6.WithServerID(we)
	toAnother  = dhcpv6.WithServerID(dhcptest.LL("02:00:00:00:00:fd"))
	uuid       = dhcpv6.WithClientID(&dhcpv6.DUIDUUID{UUID: [16]byte{0xab}})
	efi6       = mods6(dhcpv6.WithArchType(iana.EFI_X86_64), dhcptest.Raw6(dhcpv6.OptionVendorClass, append([]byte{0, 0, 1, 0x57, 0, 32}, "PXEClient:Arch:00007:UNDI:003016"...)...))
	http6      = mods6(dhcpv6.WithArchType(iana.EFI_X86_64_HTTP), dhcptest.Raw6(dhcpv6.OptionVendorClass, append([]byte{0, 0, 1, 0x57, 0, 33}, "HTTPClient:Arch:00016:UNDI:003016"...)...))
	ipxe6      = mods6(dhcpv6.WithArchType(iana.EFI_X86_64), dhcpv6.WithUserClass([]byte("iPXE")))
)

func mods6(m ...dhcpv6.Modifier) []dhcpv6.Modifier { return m }

// near and far are the interface that a direct client asks on, and a relay.
var near = process.Origin{Interface: "eth0", Index: 2, Networks: []netip.Prefix{
	netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8:1::1/64"), netip.MustParsePrefix("fe80::1/64"),
}, Dst: netip.MustParseAddr("ff02::1:2")}

// A row6 is one exchange. The reply is in the golden file of the row's name.
type row6 struct {
	mac    string
	kind   dhcpv6.MessageType
	with   []dhcpv6.Modifier
	links  []string // of the relays, the nearest to the client first
	result string   // reply, silence, passed
	line   string   // without mac, duid, xid
}

// rows6 are the rows of the protocol's table with no network declared.
var rows6 = map[string]row6{
	"solicit": {
		node, solicit, mods6(na(1)), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"solicit-asks-for-another": {
		node, solicit, mods6(na(1, "2001:db8:1::99")), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"solicit-rapid": {
		node, solicit, mods6(dhcpv6.WithRapidCommit, na(1)), nil, "reply",
		`info REPLY message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"solicit-rapid-without-an-address": {
		v4Only, solicit, mods6(dhcpv6.WithRapidCommit, na(1)), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s1b0n0" type="Node" hostname="nid12345" reason="no address of the client's network in SMD: nobody tells where it asks from"`,
	},
	"solicit-several": {
		twoNets, solicit, mods6(na(1), na(2, "2001:db8:2::12"), na(3), na(4), na(2)), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::12, 2001:db8:2::12, 2001:db8:1::112" hostname="nid0001"`,
	},
	"solicit-others": {
		node, solicit, mods6(ta(1), na(1), pd(1)), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"solicit-prefix-only": {
		node, solicit, mods6(pd(1)), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" hostname="nid0001"`,
	},
	"solicit-relayed": {
		node, solicit, mods6(na(1)),
		[]string{"2001:db8:1::1"},
		"reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" giaddr="2001:db8:1::1" hostname="nid0001"`,
	},
	"solicit-relayed-thrice": {
		node, solicit, mods6(na(1)),
		[]string{"::", "2001:db8:1::1", "2001:db8:9::1"},
		"reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" giaddr="2001:db8:1::1" hostname="nid0001"`,
	},
	"solicit-without-a-name-asked-for": {
		node, solicit, mods6(na(1), dhcpv6.WithRequestedOptions(dhcpv6.OptionFQDN)), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"solicit-with-a-name": {
		node, solicit, mods6(na(1), dhcpv6.WithFQDN(1, "mine")), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"solicit-bmc": {
		bmc, solicit, mods6(na(1)), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0" type="NodeBMC" ip="2001:db8:1::110"`,
	},
	"solicit-unknown": {
		strange, solicit, mods6(dhcpv6.WithRapidCommit, na(1), na(2), ta(1), pd(1)), nil, "passed",
		`debug passed on message="SOLICIT" state="solicit" reason="unknown machine"`,
	},
	"solicit-no-addresses": {
		noAddrs, solicit, mods6(na(1)), nil, "passed",
		`debug passed on message="SOLICIT" state="solicit" id="x3000c0s1b0n0" type="Node" reason="no usable address in SMD"`,
	},
	"solicit-mac-nowhere": {
		node, solicit, mods6(uuid, na(1)), nil, "passed",
		`info passed on message="SOLICIT" state="solicit" reason="hardware address: neither relay, client identifier nor link-local address tell one"`,
	},
	"solicit-server-id": {
		node, solicit, mods6(toUs, na(1)), nil, "silence",
		`info no reply message="SOLICIT" state="solicit" reason="against the protocol: a server identifier where none belongs"`,
	},

	"request": {
		node, request6, mods6(toUs, na(1, "2001:db8:1::11")), nil, "reply",
		`info REPLY message="REQUEST" state="request" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"request-another-address": {
		node, request6, mods6(toUs, na(1, "2001:db8:1::99")), nil, "reply",
		`info REPLY message="REQUEST" state="request" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"request-same-address-twice": {
		node, request6, mods6(toUs, na(1, "2001:db8:1::11"), na(2, "2001:db8:1::11")), nil, "reply",
		`info REPLY message="REQUEST" state="request" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"request-without-an-address": {
		v4Only, request6, mods6(toUs, na(1, "2001:db8:1::99")),
		[]string{"2001:db8:1::1"},
		"reply",
		`info REPLY message="REQUEST" state="request" id="x3000c0s1b0n0" type="Node" ip="2001:db8:1::99" giaddr="2001:db8:1::1" hostname="nid12345" reason="no address of the client's network in SMD: relay address 2001:db8:1::1"`,
	},
	"request-another-server": {
		node, request6, mods6(toAnother, na(1, "2001:db8:1::11")), nil, "silence",
		`info no reply message="REQUEST" state="request" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" reason="another server's: 00:03:00:01:02:00:00:00:00:fd"`,
	},
	"request-no-server": {
		node, request6, mods6(na(1)), nil, "silence",
		`info no reply message="REQUEST" state="request" reason="against the protocol: no server identifier"`,
	},
	"request-unknown": {
		strange, request6, mods6(toUs, na(1, "2001:db8:1::99"), pd(2)), nil, "passed",
		`debug passed on message="REQUEST" state="request" ip="2001:db8:1::99" reason="unknown machine"`,
	},

	"renew": {
		node, renew, mods6(toUs, na(1, "2001:db8:1::11")), nil, "reply",
		`info REPLY message="RENEW" state="renew" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"renew-temporary-address": {
		node, renew, mods6(toUs, na(1, "2001:db8:1::99", "2001:db8:1::98")), nil, "reply",
		`info REPLY message="RENEW" state="renew" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"renew-without-an-address": {
		v4Only, renew, mods6(toUs, na(1, "2001:db8:1::99"), na(2)), nil, "reply",
		`info REPLY message="RENEW" state="renew" id="x3000c0s1b0n0" type="Node" ip="2001:db8:1::99" hostname="nid12345" reason="no address of the client's network in SMD: nobody tells where it asks from"`,
	},
	"renew-another-server": {
		node, renew, mods6(toAnother, na(1, "2001:db8:1::11")), nil, "silence",
		`info no reply message="RENEW" state="renew" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" reason="another server's: 00:03:00:01:02:00:00:00:00:fd"`,
	},
	"renew-unknown": {
		strange, renew, mods6(toUs, na(1, "2001:db8:1::99"), ta(2), pd(3)), nil, "passed",
		`debug passed on message="RENEW" state="renew" ip="2001:db8:1::99" reason="unknown machine"`,
	},
	"rebind": {
		node, rebind, mods6(na(1, "2001:db8:1::99", "2001:db8:1::11")), nil, "reply",
		`info REPLY message="REBIND" state="rebind" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"rebind-unknown": {
		strange, rebind, mods6(na(1, "2001:db8:1::99")), nil, "passed",
		`debug passed on message="REBIND" state="rebind" ip="2001:db8:1::99" reason="unknown machine"`,
	},

	"confirm": {
		node, confirm, mods6(na(1, "2001:db8:1::11")), nil, "reply",
		`info REPLY message="CONFIRM" state="confirm" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`,
	},
	"confirm-nothing": {
		node, confirm, mods6(na(1)), nil, "silence",
		`info no reply message="CONFIRM" state="confirm" id="x3000c0s0b0n0" type="Node" reason="request without address and server: no address to confirm"`,
	},
	"confirm-where-nobody-knows": {
		node, confirm, mods6(na(1, "2001:db8:1::99")),
		[]string{"2001:db8:1::1"},
		"silence",
		`info no reply message="CONFIRM" state="confirm" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::99" giaddr="2001:db8:1::1" reason="no address of the client's network in SMD: nobody tells the client's network"`,
	},
	"confirm-unknown": {
		strange, confirm, mods6(na(1, "2001:db8:1::99")), nil, "passed",
		`debug passed on message="CONFIRM" state="confirm" ip="2001:db8:1::99" reason="unknown machine"`,
	},
	"information-request": {
		node, info, mods6(dhcpv6.WithRequestedOptions(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionFQDN)), nil, "reply",
		`info REPLY message="INFORMATION-REQUEST" state="information-request" id="x3000c0s0b0n0" type="Node" hostname="nid0001"`,
	},
	"information-request-with-an-ia": {
		node, info, mods6(na(1)), nil, "silence",
		`info no reply message="INFORMATION-REQUEST" state="information-request" reason="against the protocol: an IA where only options are asked for"`,
	},
	"information-request-another-server": {
		node, info, mods6(toAnother), nil, "silence",
		`info no reply message="INFORMATION-REQUEST" state="information-request" id="x3000c0s0b0n0" type="Node" reason="another server's: 00:03:00:01:02:00:00:00:00:fd"`,
	},
	"information-request-unknown": {
		strange, info, nil, nil, "passed",
		`debug passed on message="INFORMATION-REQUEST" state="information-request" reason="unknown machine"`,
	},
	"release": {
		node, release6, mods6(toUs, na(1, "2001:db8:1::11")), nil, "reply",
		`info REPLY message="RELEASE" state="release" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001" reason="release"`,
	},
	"release-unknown": {
		strange, release6, mods6(toUs, na(1, "2001:db8:1::99"), na(2)), nil, "passed",
		`debug passed on message="RELEASE" state="release" ip="2001:db8:1::99" reason="unknown machine"`,
	},
	"decline": {
		node, decline6, mods6(toUs, na(1, "2001:db8:1::11")), nil, "reply",
		`warning REPLY message="DECLINE" state="decline" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001" reason="address conflict: the machine declined 2001:db8:1::11"`,
	},

	"pxe": {
		node, solicit, append(mods6(na(1)), efi6...), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001" bootfile="tftp://[2001:db8::a]/ipxe-x86_64.efi"`,
	},
	"pxe-unknown-architecture": {
		node, solicit, mods6(na(1), dhcpv6.WithArchType(iana.NEC_PC98)), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001" reason="no loader for architecture 1 nec-pc98"`,
	},
	"http": {
		node, solicit, append(mods6(na(1)), http6...), nil, "reply",
		`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001" reason="no boot_http for firmware that loads by HTTP"`,
	},
	"ipxe": {
		node, request6, append(mods6(toUs, na(1)), ipxe6...),
		[]string{"2001:db8:1::1"},
		"reply",
		`info REPLY message="REQUEST" state="request" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" giaddr="2001:db8:1::1" hostname="nid0001" bootfile="http://[2001:db8::b]:8081/boot/v1/bootscript?mac=02:00:00:00:00:01"`,
	},
}

// earlier6 are options that plugins before coresmd set, right and wrong ones.
func earlier6() handler.Handler6 {
	return dhcptest.Earlier6(dhcpv6.WithDNS(net6("2001:db8::53")), dhcpv6.WithOption(dhcpv6.OptBootFileURL("wrong")), dhcpv6.WithOption(dhcpv6.OptBootFileParam("wrong")))
}

func net6(text string) []byte { return netip.MustParseAddr(text).AsSlice() }

func TestProtocolTable6(t *testing.T) {
	dhcptest.InventoryFile(t, "inventory6", testInterfaces6, testComponents)
	runRows6(t, "plain6", rows6, process.Origin{}, func(t *testing.T, _ string) bench6 { return known6(t) })
}

// runRows6 runs each row on a plugin of its own and compares whole replies.
func runRows6(t *testing.T, folder string, rows map[string]row6, o process.Origin, plugin func(*testing.T, string) bench6) {
	rec := dhcptest.NewRecord(t, folder, len(rows))
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := plugin(t, name)
			req := row.request(t)
			reply, ended := dhcptest.Exchange6(t, req, dhcptest.ServerID6(we), earlier6(), b.from(o))
			got := map[bool]string{true: "reply", false: "passed"}[ended]
			if reply == nil {
				got = "silence"
			} else {
				dhcptest.Golden(t, folder+"/"+name, reply.Summary())
			}
			rec.Add6(folder+"/"+name, b.words, wayOf(o), req, reply)
			if got != row.result {
				t.Errorf("result %q, want %q", got, row.result)
			}
			if diff := cmp.Diff(row.line, b.line6(t, row.mac)); diff != "" {
				t.Errorf("log line (-want +got):\n%s", diff)
			}
		})
	}
}

// wayOf is an origin, for a record.
func wayOf(o process.Origin) dhcptest.Way {
	return dhcptest.Way{From: record.Interface{Name: o.Interface, Networks: o.Networks}, To: o.Dst, Says: exchange.Says6}
}

func (r row6) request(tb testing.TB) dhcpv6.DHCPv6 {
	var req dhcpv6.DHCPv6 = dhcptest.Request6(tb, r.mac, r.kind, r.with...)
	for i, link := range r.links {
		req = dhcptest.Through(tb, req, link, "fe80::99", dhcptest.Raw6(dhcpv6.OptionInterfaceID, 'e', 't', 'h', '0'+byte(i)))
	}
	return req
}

// line6 returns the last line of the log without the fields that all rows have
// in common.
func (b bench6) line6(t *testing.T, mac string) string {
	t.Helper()
	line := b.line()
	for _, field := range []string{` mac="` + mac + `"`, ` xid="0xcafe01"`} {
		line = strings.Replace(line, field, "", 1)
	}
	before, rest, found := strings.Cut(line, ` duid="`)
	if !found {
		t.Errorf("no duid: %s", line)
	}
	_, after, _ := strings.Cut(rest, `"`)
	return before + after
}

// TestLine6 has a whole line, and that of a client whose hardware address
// nobody tells.
func TestLine6(t *testing.T) {
	t.Parallel()
	b := known6(t)
	b.ask(t, dhcptest.Request6(t, node, solicit, na(1)), near)
	want := `info ADVERTISE mac="02:00:00:00:00:01" duid="00:03:00:01:02:00:00:00:00:01" xid="0xcafe01" message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001"`
	if diff := cmp.Diff(want, b.line()); diff != "" {
		t.Errorf("known (-want +got):\n%s", diff)
	}
	b.ask(t, dhcptest.Request6(t, node, solicit, uuid), near)
	want = `info passed on duid="00:04:ab:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00" xid="0xcafe01" message="SOLICIT" state="solicit" reason="hardware address: neither relay, client identifier nor link-local address tell one"`
	if diff := cmp.Diff(want, b.line()); diff != "" {
		t.Errorf("hardware address nowhere (-want +got):\n%s", diff)
	}
}

// TestNetworks6 has the rows in which networks are declared and the packet loop
// tells the receiving interface.
func TestNetworks6(t *testing.T) {
	rows := map[string]row6{
		"direct": {
			twoNets, solicit, mods6(na(1), na(2), na(3)), nil, "reply",
			`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::12, 2001:db8:1::112" hostname="nid0001.example.org"`,
		},
		"relayed": {
			twoNets, solicit, mods6(na(1), na(2, "2001:db8:1::12")),
			[]string{"2001:db8:2::1"},
			"reply",
			`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:2::12" giaddr="2001:db8:2::1" hostname="nid0001.example.org"`,
		},
		"none-in-the-network": {
			node, solicit, mods6(dhcpv6.WithRapidCommit, na(1)),
			[]string{"2001:db8:2::1"},
			"reply",
			`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" giaddr="2001:db8:2::1" hostname="nid0001.example.org" reason="no address of the client's network in SMD: relay address 2001:db8:2::1"`,
		},
		"relay-in-no-network": {
			node, solicit, mods6(na(1)),
			[]string{"2001:db8:9::1"},
			"reply",
			`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" giaddr="2001:db8:9::1" hostname="nid0001.example.org" reason="no address of the client's network in SMD: relay address 2001:db8:9::1"`,
		},
		"relay-in-no-network-but-beside": {
			withBits, solicit, mods6(na(1)),
			[]string{"2001:db8:3::1"},
			"reply",
			`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s1b0n0" type="Node" ip="2001:db8:3::14" giaddr="2001:db8:3::1" hostname="nid12345.example.org"`,
		},
		"renew-of-another-network": {
			twoNets, renew, mods6(toUs, na(1, "2001:db8:2::12")), nil, "reply",
			`info REPLY message="RENEW" state="renew" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::12" hostname="nid0001.example.org"`,
		},
		"confirm-in-the-network": {
			node, confirm, mods6(na(1, "2001:db8:1::77")), nil, "reply",
			`info REPLY message="CONFIRM" state="confirm" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::77" hostname="nid0001.example.org"`,
		},
		"confirm-after-a-move": {
			twoNets, confirm, mods6(na(1, "2001:db8:1::12"), na(2, "2001:db8:2::12")), nil, "reply",
			`info REPLY message="CONFIRM" state="confirm" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::12" hostname="nid0001.example.org" reason="not an address of the client's network: 2001:db8:2::12"`,
		},
		"confirm-behind-an-undeclared-relay": {
			node, confirm, mods6(na(1, "2001:db8:1::77")),
			[]string{"2001:db8:9::1"},
			"silence",
			`info no reply message="CONFIRM" state="confirm" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::77" giaddr="2001:db8:9::1" reason="no address of the client's network in SMD: nobody tells the client's network"`,
		},
		"whole-name": {
			node, solicit, mods6(na(1), dhcpv6.WithRequestedOptions(dhcpv6.OptionFQDN)), nil, "reply",
			`info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001.example.org"`,
		},
	}
	runRows6(t, "networks6", rows, near, func(t *testing.T, _ string) bench6 {
		return known6(t, "domain=example.org", "lease_time=10m", "subnet=192.0.2.0/24",
			"subnet=2001:db8:1::/64,dns:2001:db8:1::53|2001:db8:1::54", "subnet=2001:db8:2::/64")
	})
}

// TestRules6 has what rules tell in DHCPv6.
func TestRules6(t *testing.T) {
	t.Parallel()
	words := make(map[string]string)
	rows := make(map[string]row6)
	for name, c := range map[string]struct {
		words string
		row   row6
	}{
		"what-there-is": {
			"rule=type:Node,dns:192.0.2.53|2001:db8::35,ntp:192.0.2.7|2001:db8::7|2001:db8::8,search:a.example.org|b.example.org,option6:27=0x20010db8000000000000000000000021,lease_time:2h,hostname:n{04d},domain:rack.example.org",
			row6{node, request6, mods6(toUs, na(1), dhcpv6.WithRequestedOptions(dhcpv6.OptionFQDN)), nil, "reply", `info REPLY message="REQUEST" state="request" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="n0001.rack.example.org" rule="rule 1"`},
		},
		"ignore": {
			"rule=name:off,type:Node,ignore:true",
			row6{node, solicit, mods6(na(1)), nil, "silence", `info no reply message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" rule="off" reason="ignored by a rule"`},
		},
		"by-relay": {
			"rule=name:far,giaddr:2001:db8:1::/64,hostname:far{04d}",
			row6{node, solicit, mods6(na(1)), []string{"2001:db8:1::1"}, "reply", `info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" giaddr="2001:db8:1::1" hostname="far0001" rule="far"`},
		},
		"by-subnet": {
			"rule=name:two,subnet:2001:db8:2::/64,hostname:two rule=name:one,subnet:2001:db8:1::/64,hostname:one",
			row6{twoNets, solicit, mods6(na(1)), nil, "reply", `info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::12" hostname="one" rule="one"`},
		},
		"loader-and-parameters": {
			"rule=bootarch:7,bootfile:own.efi,option6:60=0x000161",
			row6{node, solicit, append(mods6(na(1)), efi6...), nil, "reply", `info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001" bootfile="tftp://[2001:db8::a]/own.efi" rule="rule 1"`},
		},
		"script": {
			"rule=script:http://[2001:db8::c]/s",
			row6{node, solicit, append(mods6(na(1)), ipxe6...), nil, "reply", `info ADVERTISE message="SOLICIT" state="solicit" id="x3000c0s0b0n0" type="Node" ip="2001:db8:1::11" hostname="nid0001" bootfile="http://[2001:db8::c]/s?mac=02:00:00:00:00:01" rule="rule 1"`},
		},
	} {
		words[name], rows[name] = c.words, c.row
	}
	runRows6(t, "rules6", rows, near, func(t *testing.T, name string) bench6 { return known6(t, strings.Fields(words[name])...) })
}

// TestEarlier6 has IAs that plugins before coresmd answered: those of a known
// machine are replaced, but for prefixes; those of a stranger are kept.
func TestEarlier6(t *testing.T) {
	t.Parallel()
	b := known6(t)
	rec := dhcptest.NewRecord(t, "earlier6", 2)
	chain := func(mac, name string) string {
		req := dhcptest.Request6(t, mac, solicit, dhcpv6.WithRapidCommit, na(1), na(2), pd(1))
		prefix := &dhcpv6.OptIAPD{IaId: [4]byte{0, 0, 0, 1}}
		prefix.Options.Add(&dhcpv6.OptIAPrefix{})
		reply, _ := dhcptest.Exchange6(t, req, dhcptest.ServerID6(we), dhcptest.Earlier6(na(1, "2001:db8:1::99"), dhcpv6.WithOption(prefix)), b.from(near))
		rec.Add6("earlier6/"+name, b.words, wayOf(near), req, reply)
		return reply.Summary()
	}
	dhcptest.Golden(t, "earlier6/known", chain(node, "known"))
	dhcptest.Golden(t, "earlier6/stranger", chain(strange, "stranger"))
}

// TestLinkLocal6 has a client whose hardware address only its link-local address
// tells, and one that sends to this server alone.
func TestLinkLocal6(t *testing.T) {
	t.Parallel()
	b := known6(t)
	from := near
	from.Peer = netip.AddrPortFrom(netip.MustParseAddr(eui64Peer), 546)
	reply, _ := b.ask(t, dhcptest.Request6(t, node, solicit, uuid, na(1)), from)
	if got := reply.(*dhcpv6.Message).Options.OneIANA().Options.OneAddress(); got == nil || got.IPv6Addr.String() != "2001:db8:1::11" {
		t.Errorf("got %v", got)
	}
	from.Dst = netip.MustParseAddr("2001:db8:1::1")
	reply, ended := b.ask(t, dhcptest.Request6(t, node, renew, toUs, na(1)), from)
	want := `info no reply duid="00:03:00:01:02:00:00:00:00:01" xid="0xcafe01" message="RENEW" state="renew" reason="sent to this server alone: to 2001:db8:1::1"`
	if diff := cmp.Diff(want, b.line()); reply != nil || !ended || diff != "" {
		t.Errorf("unicast: %v, ended %v, log (-want +got):\n%s", reply, ended, diff)
	}
}

// TestReleaseTaken6 has a plugin behind coresmd that takes releases.
func TestReleaseTaken6(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"2001:db8:1::11": true, "2001:db8:1::99": false} {
		b := known6(t)
		b.p.ReleaseTaken.Store(true)
		if _, ended := b.ask(t, dhcptest.Request6(t, node, release6, toUs, na(1, addr)), near); ended != want {
			t.Errorf("%s: chain ended %v, want %v", addr, ended, want)
		}
	}
}

// TestNoServerID6 has no server_id in the chain.
func TestNoServerID6(t *testing.T) {
	t.Parallel()
	b := known6(t)
	for range 3 {
		reply, _ := dhcptest.Exchange6(t, dhcptest.Request6(t, node, solicit, na(1)), b.from(process.Origin{}))
		if reply == nil {
			t.Fatalf("no reply: %s", b.line())
		}
		if id, ok := reply.(*dhcpv6.Message).Options.ServerID().(*dhcpv6.DUIDLL); !ok || len(id.LinkLayerAddr) != 6 {
			t.Errorf("server identifier %v, want a DUID-LL of an interface", id)
		}
	}
	complaints := 0
	for _, e := range b.log.AllEntries() {
		if e.Level == logrus.ErrorLevel && strings.HasPrefix(e.Message, "no server identifier: put server_id before coresmd; 00:03:00:01:") {
			complaints++
		}
	}
	if complaints != 1 {
		t.Errorf("%d complaints, want 1", complaints)
	}
}

// TestMalformed6 has what is no client's message.
func TestMalformed6(t *testing.T) {
	t.Parallel()
	b := known6(t)
	deep := func(relays int) dhcpv6.DHCPv6 {
		var req dhcpv6.DHCPv6 = dhcptest.Request6(t, node, solicit, na(1))
		for range relays {
			req = dhcptest.Through(t, req, "2001:db8:1::1", "fe80::99")
		}
		return req
	}
	if reply, _ := b.ask(t, deep(32), near); reply == nil || !strings.Contains(reply.Summary(), "2001:db8:1::11") {
		t.Errorf("32 relays: %v", reply)
	}
	reply, ended := b.ask(t, deep(33), near)
	if e := b.log.LastEntry(); reply != nil || !ended || e.Data["reason"] != "against the protocol: more than 32 relays" {
		t.Errorf("33 relays: %v, ended %v, %v", reply, ended, e.Data)
	}
	for name, octets := range map[string][]byte{
		"an IA without room for its times": {1, 0xca, 0xfe, 1, 0, 3, 0, 4, 0, 0, 0, 1},
		"an address of fifteen octets":     {1, 0xca, 0xfe, 1, 0, 3, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0},
		"an option longer than the packet": {1, 0xca, 0xfe, 1, 0, 1, 0, 99, 0, 3},
		"an empty user class":              {1, 0xca, 0xfe, 1, 0, 15, 0, 0},
	} {
		if m, err := dhcpv6.FromBytes(octets); err == nil {
			t.Errorf("%s is given to the plugins: %s", name, m.Summary())
		}
	}
}

// TestName6 has the octets of names: one without a domain does not end in the
// root.
func TestName6(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags uint8
		want  string
	}{
		"a":    {0, "\x04\x01a"},
		"a.bc": {0, "\x04\x01a\x02bc\x00"},
		"a.b":  {1, "\x06\x01a\x01b\x00"},
		"":     {1, ""},
	} {
		got := ""
		if o := fqdn(dhcptest.Request6(t, node, solicit, dhcpv6.WithFQDN(c.flags, "x")), name); o != nil {
			got = string(o.ToBytes())
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", name, got, c.want)
		}
	}
}

// TestHTTPBoot6 has firmware that loads by HTTP where there is a server.
func TestHTTPBoot6(t *testing.T) {
	t.Parallel()
	port := freeTCP(t)
	b := known6(t, fmt.Sprintf("boot_http=%d", port), "tftp_dir="+t.TempDir())
	reply, _ := b.ask(t, dhcptest.Request6(t, node, solicit, append(mods6(na(1)), http6...)...), near)
	if got, want := reply.(*dhcpv6.Message).Options.BootFileURL(), fmt.Sprintf("http://[2001:db8::a]:%d/ipxe-x86_64.efi", port); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestAddress6 has the address that stands in URLs: one that is configured, or
// of the receiving interface, or else of the host.
func TestAddress6(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		words string
		from  process.Origin
		want  string
	}{
		"configured":             {"server_addr6=2001:db8::a", near, "2001:db8::a"},
		"configured in brackets": {"server_addr6=[2001:db8::a]", near, "2001:db8::a"},
		"receiving":              {"server_addr6=", near, "2001:db8:1::1"},
	} {
		b := newBench(t, "svc_base_uri=file:///none", "ipxe_base_uri=http://bss", c.words)
		if got := six(b).six.address(&exchange6{inquiry: inquiry{from: c.from}}).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	b := known6(t, "server_addr6=")
	b.six.own.Look = func(netip.Addr) (netip.Prefix, error) {
		return netip.Prefix{}, errors.New("this host has 2 global IPv6 addresses")
	}
	for range 3 {
		b.ask(t, dhcptest.Request6(t, node, solicit, append(mods6(na(1)), efi6...)...), process.Origin{})
	}
	var warnings []string
	for _, e := range b.log.AllEntries() {
		if e.Level == logrus.WarnLevel && strings.Contains(e.Message, "URL") {
			warnings = append(warnings, e.Message)
		}
	}
	want := []string{"machines that boot by IPv6 are told no URL: this host has 2 global IPv6 addresses; server_addr6= names the one to tell them"}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if got := b.log.LastEntry().Data["reason"]; got != "no IPv6 address of this server for URLs" {
		t.Errorf("reason %q", got)
	}
}

// TestPanic6 has a handler that panics: the packet is dropped and shown.
func TestPanic6(t *testing.T) {
	t.Parallel()
	b := known6(t)
	b.six.cache = nil
	reply, ended := b.ask(t, dhcptest.Request6(t, node, solicit, na(1)), near)
	e := b.log.LastEntry()
	if reply != nil || !ended || e.Level != logrus.ErrorLevel || !strings.HasPrefix(e.Message, "packet dropped after a panic\n") {
		t.Errorf("reply %v, ended %v, log: %v %s", reply, ended, e.Level, e.Message)
	}
}

// TestAllocations6 holds what a known Solicit may cost without its log line.
func TestAllocations6(t *testing.T) {
	b := known6(t)
	b.plugin.log.Logger.SetLevel(logrus.WarnLevel)
	req := row6{mac: node, kind: solicit, with: append(mods6(na(1)), efi6...), links: []string{"2001:db8:1::1"}}.request(t)
	handle := b.from(near)
	prepare := func() dhcpv6.DHCPv6 {
		prepared, _ := dhcptest.Prepare6(req)
		prepared.AddOption(dhcpv6.OptServerID(we))
		return prepared
	}
	whole := leastAllocs(func() { handle(req, prepare()) })
	if n := whole - leastAllocs(func() { prepare() }); n > 20 {
		t.Errorf("%v allocations, want at most 20", n)
	}
}

// TestRouters6 has routers of a network of IPv6, which nothing tells of.
func TestRouters6(t *testing.T) {
	t.Parallel()
	b := known6(t, "subnet=2001:db8:1::/64,router:2001:db8:1::1", "subnet=2001:db8:2::/64", "subnet=192.0.2.0/24,router:192.0.2.254")
	var warnings []string
	for _, e := range b.log.AllEntries() {
		if strings.HasPrefix(e.Message, "subnet=") {
			warnings = append(warnings, e.Level.String()+" "+e.Message)
		}
	}
	want := []string{"warning subnet=2001:db8:1::/64: router: is told by DHCPv4 only; in IPv6 routers tell of themselves"}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// TestDecline6 has a conflict counted.
func TestDecline6(t *testing.T) {
	t.Parallel()
	b := known6(t)
	b.ask(t, dhcptest.Request6(t, node, decline6, toUs, na(1, "2001:db8:1::11")), near)
	if _, body := get(t, b.bench, "/metrics"); !strings.Contains(body, "\ncoresmd_conflicts_total 1\n") {
		t.Error("the conflict is not counted")
	}
}

// TestNobody6 has an Information-request without a client identifier, which our
// packet loop gives to plugins: what earlier plugins told goes on.
func TestNobody6(t *testing.T) {
	t.Parallel()
	b := known6(t)
	req := dhcptest.Request6(t, node, info)
	req.Options.Del(dhcpv6.OptionClientID)
	prepared := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply, TransactionID: req.TransactionID}
	dhcpv6.WithServerID(we)(prepared)
	dhcpv6.WithDNS(net6("2001:db8::53"))(prepared)
	before := prepared.Summary()
	reply, ended := b.six.Handle(req, prepared, process.Origin{})
	if diff := cmp.Diff(before, reply.Summary()); ended || diff != "" {
		t.Errorf("ended %v, reply (-want +got):\n%s", ended, diff)
	}
	from := near
	from.Peer = netip.AddrPortFrom(netip.MustParseAddr(eui64Peer), 546)
	if _, ended := b.six.Handle(req, prepared, from); !ended {
		t.Errorf("the link-local address of a node is not known: %s", b.line())
	}
}

// TestDisabled6 has a machine that SMD says is not to be answered.
func TestDisabled6(t *testing.T) {
	t.Parallel()
	folder := dhcptest.Inventory(t, testInterfaces6, strings.Replace(testComponents, `"Enabled":true`, `"Enabled":false`, 1))
	for word, want := range map[string]bool{"true": false, "false": true} {
		b := six(newBench(t, "svc_base_uri=file://"+folder, "ipxe_base_uri=http://bss", "server_addr6=2001:db8::a", "respect_enabled="+word))
		if reply, ended := b.ask(t, dhcptest.Request6(t, node, solicit, na(1)), near); (reply != nil) != want || !ended {
			t.Errorf("respect_enabled=%s: reply %v, ended %v", word, reply, ended)
		}
	}
}
