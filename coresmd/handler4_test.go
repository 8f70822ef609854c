package coresmd

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
)

const testComponents = `{"Components":[
 {"ID":"x3000c0s0b0n0","Type":"Node","State":"Ready","Enabled":true,"Role":"Compute","NID":1},
 {"ID":"x3000c0s1b0n0","Type":"Node","NID":"12345"},
 {"ID":"x3000c0s0b0","Type":"NodeBMC"}]}`

const testInterfaces = `[
 {"ID":"020000000001","MACAddress":"02:00:00:00:00:01","ComponentID":"x3000c0s0b0n0","Type":"Node","IPAddresses":[{"IPAddress":"192.0.2.11"}]},
 {"ID":"020000000002","MACAddress":"02:00:00:00:00:02","ComponentID":"x3000c0s0b0n0","Type":"Node","IPAddresses":[{"IPAddress":"198.51.100.12"},{"IPAddress":"192.0.2.12"}]},
 {"ID":"020000000003","MACAddress":"02:00:00:00:00:03","ComponentID":"x3000c0s1b0n0","Type":"Node","IPAddresses":[{"IPAddress":"2001:db8::3"},{"IPAddress":"192.0.2.13"}]},
 {"ID":"020000000004","MACAddress":"02:00:00:00:00:04","ComponentID":"x3000c0s1b0n0","Type":"Node","IPAddresses":[{"IPAddress":"2001:db8::4"}]},
 {"ID":"020000000005","MACAddress":"02:00:00:00:00:05","ComponentID":"x3000c0s1b0n0","Type":"Node","IPAddresses":[]},
 {"ID":"020000000006","MACAddress":"02-00-00-00-00-06","ComponentID":"x3000c0s1b0n0","Type":"Node","IPAddresses":null},
 {"ID":"020000000007","MACAddress":"020000000007","ComponentID":"x3000c0s1b0n0","Type":"Node","IPAddresses":[{"IPAddress":"999.1.2.3"},{"IPAddress":""},{"IPAddress":" 192.0.2.17/24 "}]},
 {"ID":"020000000008","MACAddress":"02:00:00:00:00:08","ComponentID":"","Type":"","IPAddresses":[{"IPAddress":"192.0.2.18"}]},
 {"ID":"020000000010","MACAddress":"02:00:00:00:00:10","ComponentID":"x3000c0s0b0","Type":"NodeBMC","IPAddresses":[{"IPAddress":"192.0.2.110"}]}]`

// The machines of the test inventory.
const (
	node       = "02:00:00:00:00:01"
	twoNets    = "02:00:00:00:00:02"
	v6First    = "02:00:00:00:00:03"
	v6Only     = "02:00:00:00:00:04"
	noAddrs    = "02:00:00:00:00:05"
	nullAddrs  = "02:00:00:00:00:06"
	brokenAddr = "02:00:00:00:00:07"
	orphan     = "02:00:00:00:00:08"
	bmc        = "02:00:00:00:00:10"
	strange    = "02:00:00:00:00:99"
)

// bench is a plugin under test with its log.
type bench struct {
	handle handler.Handler4
	plugin *handler4
	log    *logtest.Hook
	p      *process.Process
	words  string // of the directive, without the place of the inventory
}

// placeless are the places of inventories.
var placeless = regexp.MustCompile(`file://\S+`)

// newBench starts a plugin on the words of a directive. TFTP is off.
func newBench(tb testing.TB, words ...string) bench {
	tb.Helper()
	c, err := parse(words)
	if err != nil {
		tb.Fatal(err)
	}
	c.tftp = false
	logger, hook := logtest.NewNullLogger()
	logger.SetLevel(logrus.DebugLevel)
	p := process.New()
	tb.Cleanup(p.Stop)
	s, err := start(c, p, logrus.NewEntry(logger))
	if err != nil {
		tb.Fatal(err)
	}
	h := newHandler4(s)
	return bench{process.Aware(p, h.Handle), h, hook, p, placeless.ReplaceAllString(strings.Join(words, " "), "file:///nowhere")}
}

// known starts a plugin on the test inventory.
func known(tb testing.TB, more ...string) bench {
	tb.Helper()
	folder := dhcptest.Inventory(tb, testInterfaces, testComponents)
	return newBench(tb, append([]string{"svc_base_uri=file://" + folder, "ipxe_base_uri=http://192.0.2.1:8081/"}, more...)...)
}

// line returns the last line of the log with its fields in order.
func (b bench) line() string {
	e := b.log.LastEntry()
	if e == nil {
		return ""
	}
	text := fmt.Sprintf("%v %s", e.Level, e.Message)
	for _, name := range []string{"mac", "duid", "xid", "message", "state", "id", "type", "ip", "giaddr", "hostname", "bootfile", "rule", "reason"} {
		if v, ok := e.Data[name]; ok {
			text += fmt.Sprintf(" %s=%q", name, v)
		}
	}
	return text
}

// Short names of the kit.
var (
	ip        = dhcptest.IP
	requested = dhcptest.Requested
	ciaddr    = dhcptest.Ciaddr
	serverID  = dhcptest.Server
	raw       = dhcptest.Raw
	relay     = dhcptest.Relay
	pxe       = dhcptest.PXE
)

func httpClient(d *dhcpv4.DHCPv4) {
	d.UpdateOption(dhcpv4.OptClassIdentifier("HTTPClient:Arch:00016:UNDI:003001"))
	d.UpdateOption(dhcpv4.OptClientArch(iana.EFI_X86_64_HTTP))
}

func infiniband(d *dhcpv4.DHCPv4) { d.HWType = iana.HWTypeInfiniband }

const (
	discover = dhcpv4.MessageTypeDiscover
	request  = dhcpv4.MessageTypeRequest
	inform   = dhcpv4.MessageTypeInform
	release  = dhcpv4.MessageTypeRelease
)

// A row is one exchange: a message of a machine and what the log says. The
// reply is in the golden file of the row's name; "silence" and "passed on" have
// none.
type row struct {
	mac    string
	kind   dhcpv4.MessageType
	with   []dhcpv4.Modifier
	result string // reply, silence, passed
	line   string
}

func mods(m ...dhcpv4.Modifier) []dhcpv4.Modifier { return m }

// rows are the rows of the protocol's table with no network declared.
var rows = map[string]row{
	"discover": {
		node, discover, nil, "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"discover-asks-for-another": {
		node, discover, mods(requested("192.0.2.99")), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"discover-client-id": {
		node, discover, mods(raw(61, 1, 2, 0, 0, 0, 0, 1)), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"discover-broadcast": {
		node, discover, mods(dhcpv4.WithBroadcast(true)), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"discover-relayed": {
		node, discover, mods(relay("192.0.2.254"), raw(82, 1, 4, 'e', 't', 'h', '0')), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" giaddr="192.0.2.254" hostname="nid0001"`,
	},
	"discover-broken-82": {
		node, discover, mods(relay("192.0.2.254"), raw(82, 5, 9, 1)), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" giaddr="192.0.2.254" hostname="nid0001"`,
	},
	"discover-server-override": {
		node, discover, mods(relay("192.0.2.254"), raw(82, 11, 4, 192, 0, 2, 254)), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" giaddr="192.0.2.254" hostname="nid0001"`,
	},
	"discover-subnet-selection": {
		node, discover, mods(raw(118, 192, 0, 2, 0)), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"discover-ipv6-first": {
		v6First, discover, nil, "reply",
		`info OFFER mac="02:00:00:00:00:03" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s1b0n0" type="Node" ip="192.0.2.13" hostname="nid12345"`,
	},
	"discover-first-of-several": {
		twoNets, discover, nil, "reply",
		`info OFFER mac="02:00:00:00:00:02" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="198.51.100.12" hostname="nid0001"`,
	},
	"discover-broken-addresses": {
		brokenAddr, discover, nil, "reply",
		`info OFFER mac="02:00:00:00:00:07" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s1b0n0" type="Node" ip="192.0.2.17" hostname="nid12345"`,
	},
	"discover-bmc": {
		bmc, discover, nil, "reply",
		`info OFFER mac="02:00:00:00:00:10" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0" type="NodeBMC" ip="192.0.2.110"`,
	},
	"discover-no-addresses": {
		noAddrs, discover, nil, "passed",
		`debug passed on mac="02:00:00:00:00:05" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s1b0n0" type="Node" reason="no usable address in SMD"`,
	},
	"discover-null-addresses": {
		nullAddrs, discover, nil, "passed",
		`debug passed on mac="02:00:00:00:00:06" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s1b0n0" type="Node" reason="no usable address in SMD"`,
	},
	"discover-ipv6-only": {
		v6Only, discover, nil, "silence",
		`info no reply mac="02:00:00:00:00:04" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s1b0n0" type="Node" reason="no address of the client's network in SMD: receiving address 192.0.2.1"`,
	},
	"discover-no-component": {
		orphan, discover, nil, "passed",
		`debug passed on mac="02:00:00:00:00:08" xid="0xcafe0001" message="DISCOVER" state="discover" reason="unknown machine"`,
	},
	"discover-unknown": {
		strange, discover, nil, "passed",
		`debug passed on mac="02:00:00:00:00:99" xid="0xcafe0001" message="DISCOVER" state="discover" reason="unknown machine"`,
	},
	"discover-infiniband": {
		node, discover, mods(infiniband), "silence",
		`info no reply mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" reason="hardware address: InfiniBand hardware address"`,
	},
	"discover-eight-octets": {
		"02:00:00:00:00:01:00:01", discover, nil, "silence",
		`info no reply mac="02:00:00:00:00:01:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" reason="hardware address: hardware address is not six octets"`,
	},
	"discover-zero-mac": {
		"00:00:00:00:00:00", discover, nil, "silence",
		`info no reply mac="00:00:00:00:00:00" xid="0xcafe0001" message="DISCOVER" state="discover" reason="hardware address: zero hardware address"`,
	},
	"discover-multicast-mac": {
		"03:00:00:00:00:01", discover, nil, "silence",
		`info no reply mac="03:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" reason="hardware address: multicast hardware address"`,
	},

	"selecting": {
		node, request, mods(serverID("192.0.2.1"), requested("192.0.2.11")), "reply",
		`info ACK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="selecting" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"selecting-by-ciaddr": {
		node, request, mods(serverID("192.0.2.1"), ciaddr("192.0.2.11")), "reply",
		`info ACK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="selecting" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"selecting-second-address": {
		twoNets, request, mods(serverID("192.0.2.1"), requested("192.0.2.12")), "reply",
		`info ACK mac="02:00:00:00:00:02" xid="0xcafe0001" message="REQUEST" state="selecting" id="x3000c0s0b0n0" type="Node" ip="192.0.2.12" hostname="nid0001"`,
	},
	"selecting-override": {
		node, request, mods(relay("192.0.2.254"), raw(82, 11, 4, 192, 0, 2, 254), serverID("192.0.2.254"), requested("192.0.2.11")), "reply",
		`info ACK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="selecting" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" giaddr="192.0.2.254" hostname="nid0001"`,
	},
	"selecting-another-address": {
		node, request, mods(serverID("192.0.2.1"), requested("192.0.2.99")), "reply",
		`info NAK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="selecting" id="x3000c0s0b0n0" type="Node" ip="192.0.2.99" reason="not its address: 192.0.2.11 is"`,
	},
	"selecting-another-server": {
		node, request, mods(serverID("192.0.2.2"), requested("192.0.2.11")), "silence",
		`info no reply mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="selecting" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" reason="another server's: 192.0.2.2"`,
	},
	"init-reboot": {
		node, request, mods(requested("192.0.2.11")), "reply",
		`info ACK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="init-reboot" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"init-reboot-another-address": {
		node, request, mods(requested("192.0.2.99")), "reply",
		`info NAK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="init-reboot" id="x3000c0s0b0n0" type="Node" ip="192.0.2.99" reason="not its address: 192.0.2.11 is"`,
	},
	"renewing": {
		node, request, mods(ciaddr("192.0.2.11")), "reply",
		`info ACK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="renewing" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"renewing-ciaddr-counts": {
		node, request, mods(ciaddr("192.0.2.11"), requested("192.0.2.99")), "reply",
		`info ACK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="renewing" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"renewing-temporary-address": {
		node, request, mods(ciaddr("192.0.2.201"), raw(61, 1, 2, 0, 0, 0, 0, 1)), "reply",
		`info NAK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="renewing" id="x3000c0s0b0n0" type="Node" ip="192.0.2.201" reason="not its address: 192.0.2.11 is"`,
	},
	"rebinding-relayed-nak": {
		node, request, mods(ciaddr("192.0.2.201"), relay("192.0.2.254"), raw(82, 1, 4, 'e', 't', 'h', '0')), "reply",
		`info NAK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="renewing" id="x3000c0s0b0n0" type="Node" ip="192.0.2.201" giaddr="192.0.2.254" reason="not its address: 192.0.2.11 is"`,
	},
	"request-short-server-id": {
		node, request, mods(raw(54, 192, 0, 2), requested("192.0.2.11")), "reply",
		`info ACK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="init-reboot" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"request-nothing": {
		node, request, nil, "silence",
		`info no reply mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="none" id="x3000c0s0b0n0" type="Node" reason="request without address and server"`,
	},
	"request-short-address": {
		node, request, mods(raw(50, 192)), "silence",
		`info no reply mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="none" id="x3000c0s0b0n0" type="Node" reason="request without address and server"`,
	},
	"request-unknown": {
		strange, request, mods(serverID("192.0.2.1"), requested("192.0.2.11")), "passed",
		`debug passed on mac="02:00:00:00:00:99" xid="0xcafe0001" message="REQUEST" state="selecting" ip="192.0.2.11" reason="unknown machine"`,
	},
	"request-no-addresses": {
		noAddrs, request, mods(ciaddr("192.0.2.11")), "passed",
		`debug passed on mac="02:00:00:00:00:05" xid="0xcafe0001" message="REQUEST" state="renewing" id="x3000c0s1b0n0" type="Node" ip="192.0.2.11" reason="no usable address in SMD"`,
	},
	"inform": {
		node, inform, mods(ciaddr("192.0.2.11")), "reply",
		`info ACK mac="02:00:00:00:00:01" xid="0xcafe0001" message="INFORM" state="inform" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001"`,
	},
	"inform-unknown": {
		strange, inform, mods(ciaddr("192.0.2.99")), "passed",
		`debug passed on mac="02:00:00:00:00:99" xid="0xcafe0001" message="INFORM" state="inform" ip="192.0.2.99" reason="unknown machine"`,
	},
	"release": {
		node, release, mods(ciaddr("192.0.2.11"), serverID("192.0.2.1")), "silence",
		`info no reply mac="02:00:00:00:00:01" xid="0xcafe0001" message="RELEASE" state="release" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" reason="release"`,
	},
	"release-unknown": {
		strange, release, mods(ciaddr("192.0.2.11"), serverID("192.0.2.1")), "silence",
		`info no reply mac="02:00:00:00:00:99" xid="0xcafe0001" message="RELEASE" state="release" ip="192.0.2.11" reason="release"`,
	},
	"probe": {
		node, request, mods(ciaddr("192.0.2.1")), "reply",
		`debug NAK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="probe" ip="192.0.2.1" reason="health probe"`,
	},
	"probe-zero-mac": {
		"00:00:00:00:00:00", request, mods(ciaddr("192.0.2.1")), "reply",
		`debug NAK mac="00:00:00:00:00:00" xid="0xcafe0001" message="REQUEST" state="probe" ip="192.0.2.1" reason="health probe"`,
	},

	"pxe-bios": {
		node, discover, mods(pxe(iana.INTEL_X86PC)), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" bootfile="undionly.kpxe"`,
	},
	"pxe-second-architecture": {
		node, request, mods(pxe(iana.NEC_PC98, iana.EFI_ARM64), requested("192.0.2.11"), serverID("192.0.2.1"), dhcpv4.WithRequestedOptions(dhcpv4.OptionTFTPServerName)), "reply",
		`info ACK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="selecting" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" bootfile="ipxe-arm64.efi"`,
	},
	"pxe-unknown-architecture": {
		node, discover, mods(pxe(iana.NEC_PC98)), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" reason="no loader for architecture 1 nec-pc98"`,
	},
	"pxe-one-octet-93": {
		node, discover, mods(raw(93, 7)), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" reason="no loader for architecture (none given)"`,
	},
	"pxe-architecture-of-60": {
		node, discover, mods(dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003016"))), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" bootfile="ipxe-x86_64.efi"`,
	},
	"pxe-bmc": {
		bmc, discover, mods(pxe(iana.EFI_X86_64)), "reply",
		`info OFFER mac="02:00:00:00:00:10" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0" type="NodeBMC" ip="192.0.2.110" bootfile="ipxe-x86_64.efi"`,
	},
	"http-client": {
		node, discover, mods(httpClient), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" reason="no boot_http for firmware that loads by HTTP"`,
	},
	"ipxe-raw": {
		node, request, mods(pxe(iana.EFI_X86_64), raw(77, 'i', 'P', 'X', 'E'), ciaddr("192.0.2.11")), "reply",
		`info ACK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="renewing" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" bootfile="http://192.0.2.1:8081/boot/v1/bootscript?mac=02:00:00:00:00:01"`,
	},
	"ipxe-rfc3004": {
		node, discover, mods(raw(77, 4, 'i', 'P', 'X', 'E')), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" bootfile="http://192.0.2.1:8081/boot/v1/bootscript?mac=02:00:00:00:00:01"`,
	},
	"ipxe-175": {
		node, discover, mods(raw(175, 19, 1, 1)), "reply",
		`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" bootfile="http://192.0.2.1:8081/boot/v1/bootscript?mac=02:00:00:00:00:01"`,
	},
}

// earlier are options that plugins before coresmd set, right and wrong ones.
func earlier() handler.Handler4 {
	return dhcptest.Earlier(
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithRouter(ip("192.0.2.254")),
		dhcpv4.WithDNS(ip("192.0.2.53")),
		dhcpv4.WithYourIP(ip("192.0.2.250")), dhcpv4.WithLeaseTime(77),
		dhcpv4.WithOption(dhcpv4.OptBootFileName("wrong")), dhcpv4.WithOption(dhcpv4.OptTFTPServerName("wrong")),
		dhcpv4.WithOption(dhcpv4.OptRootPath("wrong")),
		func(d *dhcpv4.DHCPv4) { d.BootFileName = "wrong" },
	)
}

func TestProtocolTable(t *testing.T) {
	dhcptest.InventoryFile(t, "inventory", testInterfaces, testComponents)
	runRows(t, "plain", rows, func(t *testing.T) bench { return known(t) })
}

// runRows runs each row on a plugin of its own and compares whole replies.
func runRows(t *testing.T, folder string, rows map[string]row, plugin func(*testing.T) bench) {
	rec := dhcptest.NewRecord(t, folder, len(rows))
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := plugin(t)
			req := dhcptest.Request4(t, row.mac, row.kind, row.with...)
			reply, ended := dhcptest.Exchange4(t, req, dhcptest.ServerID("192.0.2.1"), earlier(), b.handle)
			if got := result(reply, ended); got != row.result {
				t.Errorf("result %q, want %q", got, row.result)
			}
			if row.result == "reply" && reply != nil {
				dhcptest.Golden(t, folder+"/"+name, reply.Summary())
			}
			b.recordTo(rec, folder+"/"+name, req, reply, ended)
			if diff := cmp.Diff(row.line, b.line()); diff != "" {
				t.Errorf("log line (-want +got):\n%s", diff)
			}
		})
	}
}

// recordTo adds an exchange to a record. What is passed on is the next plugin's.
func (b bench) recordTo(rec *dhcptest.Record, name string, req, reply *dhcpv4.DHCPv4, ended bool) {
	if !ended {
		rec.Leave(name)
		return
	}
	rec.Add4(name, b.words, req, reply)
}

func result(reply *dhcpv4.DHCPv4, ended bool) string {
	switch {
	case !ended:
		return "passed"
	case reply == nil:
		return "silence"
	}
	return "reply"
}

// TestNetworks has the rows in which networks are declared.
func TestNetworks(t *testing.T) {
	rows := map[string]row{
		"direct": {
			twoNets, discover, nil, "reply",
			`info OFFER mac="02:00:00:00:00:02" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.12" hostname="nid0001.example.org"`,
		},
		"relayed": {
			twoNets, discover, mods(relay("198.51.100.1")), "reply",
			`info OFFER mac="02:00:00:00:00:02" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="198.51.100.12" giaddr="198.51.100.1" hostname="nid0001.example.org"`,
		},
		"link-selection": {
			twoNets, discover, mods(relay("192.0.2.254"), raw(82, 5, 4, 198, 51, 100, 0)), "reply",
			`info OFFER mac="02:00:00:00:00:02" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="198.51.100.12" giaddr="192.0.2.254" hostname="nid0001.example.org"`,
		},
		"subnet-selection": {
			twoNets, discover, mods(raw(118, 198, 51, 100, 0)), "reply",
			`info OFFER mac="02:00:00:00:00:02" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="198.51.100.12" hostname="nid0001.example.org"`,
		},
		"renewing-by-unicast": {
			twoNets, request, mods(ciaddr("198.51.100.12")), "reply",
			`info ACK mac="02:00:00:00:00:02" xid="0xcafe0001" message="REQUEST" state="renewing" id="x3000c0s0b0n0" type="Node" ip="198.51.100.12" hostname="nid0001.example.org"`,
		},
		"init-reboot-of-another-network": {
			twoNets, request, mods(requested("198.51.100.12")), "reply",
			`info NAK mac="02:00:00:00:00:02" xid="0xcafe0001" message="REQUEST" state="init-reboot" id="x3000c0s0b0n0" type="Node" ip="198.51.100.12" reason="not its address: 192.0.2.12 is"`,
		},
		"renewing-of-no-network": {
			node, request, mods(ciaddr("203.0.113.7")), "reply",
			`info NAK mac="02:00:00:00:00:01" xid="0xcafe0001" message="REQUEST" state="renewing" id="x3000c0s0b0n0" type="Node" ip="203.0.113.7" reason="not its address: 192.0.2.11 is"`,
		},
		"none-in-the-network": {
			node, discover, mods(relay("198.51.100.1")), "silence",
			`info no reply mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" giaddr="198.51.100.1" reason="no address of the client's network in SMD: relay address 198.51.100.1"`,
		},
		"relay-in-no-network": {
			node, discover, mods(relay("203.0.113.1")), "silence",
			`info no reply mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" giaddr="203.0.113.1" reason="no address of the client's network in SMD: relay address 203.0.113.1"`,
		},
		"network-without-router": {
			node, discover, mods(raw(82, 5, 4, 192, 0, 2, 9)), "reply",
			`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001.example.org"`,
		},
		"inform": {
			twoNets, inform, mods(ciaddr("198.51.100.12")), "reply",
			`info ACK mac="02:00:00:00:00:02" xid="0xcafe0001" message="INFORM" state="inform" id="x3000c0s0b0n0" type="Node" ip="198.51.100.12" hostname="nid0001.example.org"`,
		},
	}
	runRows(t, "networks", rows, func(t *testing.T) bench {
		return known(t, "domain=example.org", "lease_time=10m",
			"subnet=192.0.2.0/25", "subnet=198.51.100.0/24,router:198.51.100.1|198.51.100.2,dns:198.51.100.53,mask:255.255.0.0")
	})
}

// TestFiveWords has what differs for a site of the form of five words.
func TestFiveWords(t *testing.T) {
	rows := map[string]row{
		"pxe-efi": {
			node, discover, mods(pxe(iana.EFI_X86_64)), "reply",
			`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" bootfile="ipxe.efi"`,
		},
		"pxe-efi-bc": {
			node, discover, mods(pxe(iana.EFI_BC)), "reply",
			`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" bootfile="ipxe.efi"`,
		},
		"pxe-bios": {
			node, discover, mods(pxe(iana.INTEL_X86PC)), "reply",
			`info OFFER mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" id="x3000c0s0b0n0" type="Node" ip="192.0.2.11" hostname="nid0001" bootfile="undionly.kpxe"`,
		},
	}
	runRows(t, "fivewords", rows, func(t *testing.T) bench {
		folder := dhcptest.Inventory(t, testInterfaces, testComponents)
		return newBench(t, "file://"+folder, "http://192.0.2.1:8081", `""`, "30s", "24h")
	})
}

func TestInventoryNeverLoaded(t *testing.T) {
	t.Parallel()
	b := newBench(t, "svc_base_uri=file:///does/not/exist", "ipxe_base_uri=http://192.0.2.1:8081")
	if !b.p.StrangersUnknown.Load() {
		t.Error("the other plugin is not told that strangers cannot be told from known machines")
	}
	_, ended := dhcptest.Exchange4(t, dhcptest.Request4(t, node, discover), dhcptest.ServerID("192.0.2.1"), b.handle)
	want := `debug passed on mac="02:00:00:00:00:01" xid="0xcafe0001" message="DISCOVER" state="discover" reason="inventory never loaded"`
	if diff := cmp.Diff(want, b.line()); ended || diff != "" {
		t.Errorf("ended %v, log line (-want +got):\n%s", ended, diff)
	}
}

// TestReleaseTaken has a plugin behind coresmd that takes releases.
func TestReleaseTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mac, addr string
		ended     bool
	}{
		"its own":   {node, "192.0.2.11", true},
		"temporary": {node, "192.0.2.201", false},
		"stranger":  {strange, "192.0.2.201", false},
	} {
		b := known(t)
		b.p.ReleaseTaken.Store(true)
		req := dhcptest.Request4(t, c.mac, release, ciaddr(c.addr), serverID("192.0.2.1"))
		if _, ended := dhcptest.Exchange4(t, req, dhcptest.ServerID("192.0.2.1"), b.handle); ended != c.ended {
			t.Errorf("%s: chain ended %v, want %v", name, ended, c.ended)
		}
	}
}

// TestNoServerID has no server_id in the chain.
func TestNoServerID(t *testing.T) {
	t.Parallel()
	b := known(t)
	for range 3 {
		reply, _ := dhcptest.Exchange4(t, dhcptest.Request4(t, node, discover, relay("127.0.0.1")), b.handle)
		if got := reply.ServerIdentifier(); !got.Equal(net.IPv4(127, 0, 0, 1)) {
			t.Errorf("server identifier %v, want that of the interface towards the relay", got)
		}
	}
	var complaints []string
	for _, e := range b.log.AllEntries() {
		if e.Level == logrus.ErrorLevel {
			complaints = append(complaints, e.Message)
		}
	}
	want := []string{"no server identifier: put server_id before coresmd; 127.0.0.1 stands in"}
	if diff := cmp.Diff(want, complaints); diff != "" {
		t.Errorf("complaints (-want +got):\n%s", diff)
	}
}

// TestPanic has a handler that panics: the packet is dropped and shown.
func TestPanic(t *testing.T) {
	t.Parallel()
	b := known(t)
	b.plugin.cache = nil
	req := dhcptest.Request4(t, node, discover)
	reply, ended := dhcptest.Exchange4(t, req, dhcptest.ServerID("192.0.2.1"), b.handle)
	if reply != nil || !ended {
		t.Errorf("reply %v, ended %v", reply, ended)
	}
	e := b.log.LastEntry()
	if e.Level != logrus.ErrorLevel || !strings.HasPrefix(e.Message, "packet dropped after a panic\n") {
		t.Errorf("log: %v %s", e.Level, e.Message)
	}
	if want := fmt.Sprintf("%x", req.ToBytes()); e.Data["packet"] != want {
		t.Errorf("packet %v, want %v", e.Data["packet"], want)
	}
}

// TestUnknownDrop has a coresmd that is the last plugin: what says nothing to a
// stranger is not sent.
func TestUnknownDrop(t *testing.T) {
	t.Parallel()
	b := six(known(t, "unknown=drop"))
	if reply, ended := dhcptest.Exchange4(t, dhcptest.Request4(t, strange, discover), dhcptest.ServerID("192.0.2.1"), b.handle); reply != nil || !ended {
		t.Errorf("DISCOVER: %v, ended %v", reply, ended)
	}
	want := `debug no reply mac="02:00:00:00:00:99" xid="0xcafe0001" message="DISCOVER" state="discover" reason="unknown machine"`
	if diff := cmp.Diff(want, b.line()); diff != "" {
		t.Errorf("log line (-want +got):\n%s", diff)
	}
	given := dhcptest.Earlier(dhcpv4.WithYourIP(ip("192.0.2.77")))
	if reply, ended := dhcptest.Exchange4(t, dhcptest.Request4(t, strange, discover), dhcptest.ServerID("192.0.2.1"), given, b.handle); reply == nil || ended {
		t.Errorf("DISCOVER that an earlier plugin answered: %v, ended %v", reply, ended)
	}
	if reply, ended := dhcptest.Exchange4(t, dhcptest.Request4(t, strange, inform, ciaddr("192.0.2.99")), dhcptest.ServerID("192.0.2.1"), b.handle); reply == nil || ended {
		t.Errorf("INFORM: %v, ended %v", reply, ended)
	}
	for name, c := range map[string]struct {
		kind  dhcpv6.MessageType
		with  []dhcpv6.Modifier
		reply bool
	}{
		"a Solicit is refused":            {solicit, mods6(na(1)), true},
		"a Rebind that nobody can judge":  {rebind, mods6(na(1, "2001:db8::9")), false},
		"a Confirm that nobody can judge": {confirm, mods6(na(1, "2001:db8::9")), false},
		"an Information-request":          {info, nil, false},
	} {
		reply, ended := b.ask(t, dhcptest.Request6(t, strange, c.kind, c.with...), near)
		if got := reply != nil; got != c.reply || ended == c.reply {
			t.Errorf("%s: reply %v, ended %v", name, reply, ended)
		}
	}
}
