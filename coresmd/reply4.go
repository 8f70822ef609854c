package coresmd

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
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
	loaders  map[string]dhcpv4.Modifier
	own      atomic.Pointer[own4]
}

// own4 are the options that follow from our own address.
type own4 struct {
	addr     netip.Addr
	serverID dhcpv4.Modifier
	next     dhcpv4.Modifier // next server and root path
	tftpName dhcpv4.Modifier
}

// ownOptions returns the options of our own address, which hardly ever is
// another one than in the reply before.
func (f *fixed4) ownOptions(self netip.Addr) *own4 {
	if own := f.own.Load(); own != nil && own.addr == self {
		return own
	}
	octet, text := self.AsSlice(), self.AppendTo(nil)
	own := &own4{
		addr:     self,
		serverID: octets(dhcpv4.OptionServerIdentifier, octet),
		tftpName: octets(dhcpv4.OptionTFTPServerName, text),
		next: func(d *dhcpv4.DHCPv4) {
			d.ServerIPAddr = octet
			d.Options[dhcpv4.OptionRootPath.Code()] = text
		},
	}
	f.own.Store(own)
	return own
}

func newFixed4(c config) *fixed4 {
	times := exchange.NewTimes(c.leaseTime)
	f := &fixed4{
		lease: []dhcpv4.Modifier{
			seconds(dhcpv4.OptionIPAddressLeaseTime, times.Lease),
			seconds(dhcpv4.OptionRenewTimeValue, times.T1),
			seconds(dhcpv4.OptionRebindingTimeValue, times.T2),
		},
		networks: make(map[netip.Prefix][]dhcpv4.Modifier),
		loaders:  make(map[string]dhcpv4.Modifier),
	}
	for _, name := range c.loaders {
		f.loaders[name] = loader(name)
	}
	for _, n := range c.subnets {
		f.networks[n.Prefix] = network(n)
	}
	return f
}

// loader names a loader in both places that firmware looks at.
func loader(name string) dhcpv4.Modifier {
	option := octets(dhcpv4.OptionBootfileName, []byte(name))
	return func(d *dhcpv4.DHCPv4) {
		option(d)
		d.BootFileName = name
	}
}

func seconds(code dhcpv4.OptionCode, d time.Duration) dhcpv4.Modifier {
	return octets(code, dhcpv4.Duration(d).ToBytes())
}

// octets returns a modifier that sets an option to octets that are never
// written to.
func octets(code dhcpv4.OptionCode, value []byte) dhcpv4.Modifier {
	number := code.Code()
	return func(d *dhcpv4.DHCPv4) { d.Options[number] = value }
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
	mods := append(make([]dhcpv4.Modifier, 0, 16), withoutBoot, h.serverID(x))
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
	for _, modify := range h.boot(mods, x) {
		modify(x.prepared)
	}
	return x.prepared
}

func (h *handler4) serverID(x *exchange4) dhcpv4.Modifier {
	if x.server == x.self {
		return h.fixed.ownOptions(x.self).serverID
	}
	return octets(dhcpv4.OptionServerIdentifier, x.server.AsSlice())
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

// boot appends what a client that boots is told.
func (h *handler4) boot(mods []dhcpv4.Modifier, x *exchange4) []dhcpv4.Modifier {
	if x.boot.Kind == netboot.NotBooting {
		return mods
	}
	if id := x.req.GetOneOption(optionClientMachineID); id != nil {
		mods = append(mods, octets(optionClientMachineID, id))
	}
	if x.boot.Kind == netboot.HTTP {
		return append(mods, octets(dhcpv4.OptionClassIdentifier, []byte("HTTPClient")))
	}
	own := h.fixed.ownOptions(x.self)
	mods = append(mods, own.next)
	if bytes.IndexByte(x.req.GetOneOption(dhcpv4.OptionParameterRequestList), dhcpv4.OptionTFTPServerName.Code()) >= 0 {
		mods = append(mods, own.tftpName)
	}
	switch {
	case x.bootfile == "":
		return mods
	case x.boot.Kind == netboot.PXE:
		return append(mods, h.fixed.loaders[x.bootfile])
	}
	return append(mods, octets(dhcpv4.OptionBootfileName, []byte(x.bootfile)))
}
