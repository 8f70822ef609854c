package bootloop

import (
	"net/netip"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// options6 are what the clients of each network are told, in the order of the
// networks.
func options6(nets []network) [][]dhcpv6.Option {
	told := make([][]dhcpv6.Option, len(nets))
	for i, n := range nets {
		var servers []byte
		for _, a := range n.DNS {
			servers = append(servers, a.AsSlice()...)
		}
		if len(servers) > 0 {
			told[i] = []dhcpv6.Option{&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionDNSRecursiveNameServer, OptionData: servers}}
		}
	}
	return told
}

// networkOf returns the index of the client's network, or -1 where none with a
// pool is it. A direct client always uses a network that is the only one.
func (h *handler6) networkOf(x *exchange6) int {
	if len(h.nets) == 1 && (!x.relayed.IsValid() || h.nets[0].Prefix.Contains(x.relayed)) {
		return 0
	}
	found, ok := h.table.Find6(x.relayed, h.receiving(x))
	if !ok {
		return -1
	}
	return h.withPool(found)
}

// receiving returns the addresses of the receiving interface, as far as they
// are known.
func (h *handler6) receiving(x *exchange6) []netip.Prefix {
	if at := x.from.Networks; len(at) > 0 {
		return at
	}
	own, _ := h.own.Find(h.addr6(), time.Now())
	return own
}

// describe decides what a client that boots is told: the URL of a loader, or of
// the script.
func (h *handler6) describe(x *exchange6) {
	x.client = netboot.FromV6(x.Inner)
	if x.client.Kind == netboot.NotBooting {
		return
	}
	self := h.addr6()
	if !self.IsValid() {
		self = link.Receiving6(h.receiving(x))
	}
	script, note := h.boot().ByTFTP6(self, h.scriptPath)
	if x.client.Kind == netboot.IPXE {
		x.bootfile, x.detail = script, note
		return
	}
	x.bootfile, x.detail = h.boot().File6(x.client, self, "", script)
}

// learn notes addresses of the network itself.
func (h *handler6) learn(x *exchange6) {
	if x.dry {
		return
	}
	h.infra.see(x.relayed)
	for _, p := range h.receiving(x) {
		h.infra.see(p.Addr())
	}
}

func (h *handler6) from(x *exchange6) string {
	if x.relayed.IsValid() {
		return "link address " + x.relayed.String()
	}
	if own := link.Receiving6(h.receiving(x)); own.IsValid() {
		return "receiving address " + own.String()
	}
	return "nobody tells where it asks from"
}
