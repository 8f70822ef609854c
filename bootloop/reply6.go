package bootloop

import (
	"slices"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// reply6 completes the prepared reply. It is the only place that writes
// options.
func (h *handler6) reply6(x *exchange6) {
	x.Refuse(x.prepared) // what is not given
	for _, g := range x.grants {
		h.writeGrant(x, g)
	}
	switch x.ask.State {
	case exchange.Confirm:
		x.prepared.UpdateOption(exchange.Status(confirmed(x.why)))
	case exchange.Release, exchange.Decline:
	default:
		x.RefuseOthers(x.prepared)
		netboot.Reply6(x.prepared, x.Inner, x.client, x.bootfile)
		h.tell(x)
	}
	if x.addr.IsValid() {
		x.Commit(x.prepared)
	}
}

// tell writes what the network says.
func (h *handler6) tell(x *exchange6) {
	if x.network < 0 {
		return
	}
	for _, o := range h.told[x.network] {
		x.prepared.UpdateOption(o)
	}
}

func confirmed(why reason) iana.StatusCode {
	if why == fine {
		return iana.StatusSuccess
	}
	return iana.StatusNotOnLink
}

// writeGrant writes what becomes of an IA. What is free again is not spoken of
// (RFC 8415 section 18.3.7).
func (h *handler6) writeGrant(x *exchange6, g grant) {
	switch {
	case g.freed:
		x.prepared.Options.Options = slices.DeleteFunc(x.prepared.Options.Options, func(o dhcpv6.Option) bool {
			ia, ok := o.(*dhcpv6.OptIANA)
			return ok && ia.IaId == g.ia.IaId
		})
	case g.left > 0:
		exchange.SetIA(x.prepared, x.Answer(g.ia, g.addr, exchange.NewTimes6(g.left)))
	case g.addr.IsValid() || g.ends:
		exchange.SetIA(x.prepared, x.Answer(g.ia, g.addr, h.times))
	}
}
