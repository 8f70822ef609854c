package netboot

import (
	"bytes"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// optionClientMachineID is the client machine identifier (RFC 4578 section
// 2.3), which PXE wants back.
const optionClientMachineID = dhcpv4.GenericOptionCode(97)

// Replies4 writes what clients that boot are told in DHCPv4.
type Replies4 struct {
	loaders map[string]dhcpv4.Modifier
	own     atomic.Pointer[own4]
}

// own4 are the options that follow from the server's own address.
type own4 struct {
	addr     netip.Addr
	next     dhcpv4.Modifier // next server and root path
	tftpName dhcpv4.Modifier
}

// NewReplies4 returns what writes replies that name these loaders.
func NewReplies4(loaders Loaders) *Replies4 {
	r := &Replies4{loaders: make(map[string]dhcpv4.Modifier)}
	for _, name := range loaders {
		r.loaders[name] = both(name)
	}
	return r
}

// Append appends what a client is told: the file by that name from the server
// self, or the URL that file is. A client that does not boot, and a file of no
// name, are told none.
func (r *Replies4) Append(mods []dhcpv4.Modifier, req *dhcpv4.DHCPv4, c Client, self netip.Addr, file string) []dhcpv4.Modifier {
	if c.Kind == NotBooting {
		return mods
	}
	if id := req.GetOneOption(optionClientMachineID); id != nil {
		mods = append(mods, set(optionClientMachineID, id))
	}
	if c.Kind == HTTP {
		return append(mods, set(dhcpv4.OptionClassIdentifier, []byte("HTTPClient")))
	}
	own := r.ownOptions(self)
	mods = append(mods, own.next)
	if bytes.IndexByte(req.GetOneOption(dhcpv4.OptionParameterRequestList), dhcpv4.OptionTFTPServerName.Code()) >= 0 {
		mods = append(mods, own.tftpName)
	}
	switch {
	case file == "":
		return mods
	case c.Kind == PXE && r.loaders[file] != nil:
		return append(mods, r.loaders[file])
	case strings.Contains(file, "://"):
		return append(mods, set(dhcpv4.OptionBootfileName, []byte(file)))
	}
	return append(mods, both(file))
}

// ownOptions returns the options of the server's own address, which hardly
// ever is another one than in the reply before.
func (r *Replies4) ownOptions(self netip.Addr) *own4 {
	if own := r.own.Load(); own != nil && own.addr == self {
		return own
	}
	octets, text := self.AsSlice(), self.AppendTo(nil)
	own := &own4{
		addr:     self,
		tftpName: set(dhcpv4.OptionTFTPServerName, text),
		next: func(d *dhcpv4.DHCPv4) {
			d.ServerIPAddr = octets
			d.Options[dhcpv4.OptionRootPath.Code()] = text
		},
	}
	r.own.Store(own)
	return own
}

// both names a file in the two places that firmware looks at.
func both(name string) dhcpv4.Modifier {
	option := set(dhcpv4.OptionBootfileName, []byte(name))
	return func(d *dhcpv4.DHCPv4) {
		option(d)
		d.BootFileName = name
	}
}

func set(code dhcpv4.OptionCode, value []byte) dhcpv4.Modifier {
	number := code.Code()
	return func(d *dhcpv4.DHCPv4) { d.Options[number] = value }
}

// Without takes out of a reply what only clients that boot are told, whoever
// put it there: an installed system that is told a root path or a boot file may
// use it.
func Without(d *dhcpv4.DHCPv4) {
	d.BootFileName = ""
	d.DeleteOption(dhcpv4.OptionRootPath)
	d.DeleteOption(dhcpv4.OptionVendorSpecificInformation)
	d.DeleteOption(dhcpv4.OptionClassIdentifier)
	d.DeleteOption(dhcpv4.OptionTFTPServerName)
	d.DeleteOption(dhcpv4.OptionBootfileName)
}
