package coresmd

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// bootOptions are what only clients that boot are told, whatever an earlier
// plugin put there: an installed system that is told a root path or a boot file
// may use it.
var bootOptions = []dhcpv4.OptionCode{
	dhcpv4.OptionRootPath, dhcpv4.OptionVendorSpecificInformation, dhcpv4.OptionClassIdentifier,
	dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName,
}

// leaseOptions are those that an INFORM is not answered with.
var leaseOptions = []dhcpv4.OptionCode{
	dhcpv4.OptionIPAddressLeaseTime, dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue,
}

// optionClientMachineID is the client machine identifier (RFC 4578 section
// 2.3), which PXE wants back.
const optionClientMachineID = dhcpv4.GenericOptionCode(97)

// fixed4 are the options that do not depend on the request. Their octets are
// made once and shared by all replies.
type fixed4 struct {
	lease    []dhcpv4.Modifier
	networks map[netip.Prefix][]dhcpv4.Modifier
}

func newFixed4(c config) fixed4 {
	times := exchange.NewTimes(c.leaseTime)
	f := fixed4{
		lease: []dhcpv4.Modifier{
			seconds(dhcpv4.OptionIPAddressLeaseTime, times.Lease),
			seconds(dhcpv4.OptionRenewTimeValue, times.T1),
			seconds(dhcpv4.OptionRebindingTimeValue, times.T2),
		},
		networks: make(map[netip.Prefix][]dhcpv4.Modifier),
	}
	for _, n := range c.subnets {
		f.networks[n.Prefix] = network(n)
	}
	return f
}

func seconds(code dhcpv4.OptionCode, d time.Duration) dhcpv4.Modifier {
	return octets(code, dhcpv4.Duration(d).ToBytes())
}

func octets(code dhcpv4.OptionCode, value []byte) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptGeneric(code, value))
}

// network returns the options of a declared network. A router that an earlier
// plugin set is kept only if it lies in the network.
func network(n link.Network) []dhcpv4.Modifier {
	mods := []dhcpv4.Modifier{octets(dhcpv4.OptionSubnetMask, n.Mask)}
	if len(n.Routers) > 0 {
		mods = append(mods, octets(dhcpv4.OptionRouter, joined(n.Routers)))
	} else {
		mods = append(mods, keepRouters(n.Prefix))
	}
	if len(n.DNS) > 0 {
		mods = append(mods, octets(dhcpv4.OptionDomainNameServer, joined(n.DNS)))
	}
	return mods
}

func joined(addrs []netip.Addr) []byte {
	var b []byte
	for _, a := range addrs {
		b = append(b, a.AsSlice()...)
	}
	return b
}

func keepRouters(within netip.Prefix) dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) {
		routers := slices.DeleteFunc(d.Router(), func(ip net.IP) bool { return !within.Contains(exchange.Addr(ip)) })
		if len(routers) == 0 {
			d.DeleteOption(dhcpv4.OptionRouter)
			return
		}
		d.UpdateOption(dhcpv4.OptRouter(routers...))
	}
}

// reply4 completes the prepared reply. It is the only place that writes
// options.
func (h *handler4) reply4(x *exchange4) *dhcpv4.DHCPv4 {
	mods := make([]dhcpv4.Modifier, 0, 16)
	mods = append(mods, withoutBoot, octets(dhcpv4.OptionServerIdentifier, x.server.AsSlice()))
	if x.addr.IsValid() {
		mods = append(mods, dhcpv4.WithYourIP(x.addr.AsSlice()))
		mods = append(mods, h.fixed.lease...)
	} else {
		mods = append(mods, withoutLease)
	}
	mods = append(mods, h.fixed.networks[x.network.Prefix]...)
	if x.hostname != "" {
		mods = append(mods, octets(dhcpv4.OptionHostName, []byte(x.hostname)))
	}
	if selection, ok := link.SubnetSelection(x.req); ok {
		mods = append(mods, dhcpv4.WithOption(selection))
	}
	mods = append(mods, x.bootModifiers()...)
	for _, modify := range mods {
		modify(x.prepared)
	}
	return x.prepared
}

func withoutBoot(d *dhcpv4.DHCPv4) {
	d.BootFileName = ""
	for _, code := range bootOptions {
		d.DeleteOption(code)
	}
}

func withoutLease(d *dhcpv4.DHCPv4) {
	d.YourIPAddr = net.IPv4zero.To4()
	for _, code := range leaseOptions {
		d.DeleteOption(code)
	}
}

// bootModifiers returns what a client that boots is told.
func (x *exchange4) bootModifiers() []dhcpv4.Modifier {
	if x.boot.Kind == netboot.NotBooting {
		return nil
	}
	var mods []dhcpv4.Modifier
	if id := x.req.GetOneOption(optionClientMachineID); id != nil {
		mods = append(mods, octets(optionClientMachineID, id))
	}
	if x.boot.Kind == netboot.HTTP {
		return append(mods, octets(dhcpv4.OptionClassIdentifier, []byte("HTTPClient")))
	}
	self := x.self.String()
	mods = append(mods,
		dhcpv4.WithServerIP(x.self.AsSlice()),
		octets(dhcpv4.OptionRootPath, []byte(self)))
	if x.req.ParameterRequestList().Has(dhcpv4.OptionTFTPServerName) {
		mods = append(mods, octets(dhcpv4.OptionTFTPServerName, []byte(self)))
	}
	if x.bootfile == "" {
		return mods
	}
	mods = append(mods, octets(dhcpv4.OptionBootfileName, []byte(x.bootfile)))
	if x.boot.Kind == netboot.PXE {
		mods = append(mods, func(d *dhcpv4.DHCPv4) { d.BootFileName = x.bootfile })
	}
	return mods
}
