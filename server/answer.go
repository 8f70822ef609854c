package server

import (
	"fmt"
	"net"

	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// Chains are plugins that are asked what they would answer, as the packet loop asks
// them and without a socket.
type Chains struct {
	V4       []process.Handler[*dhcpv4.DHCPv4]
	V6       []process.Handler[dhcpv6.DHCPv6]
	Names4   []string // of the plugins in the chains
	Names6   []string
	Machines process.Machines // zero: nobody tells

	Releases bool                          // a RELEASE or DECLINE is told the plugins; else it is for somebody else
	OnPanic  func(value any, stack []byte) // of a plugin; may be nil
}

// A decision is who decided on a request, and why.
type decision struct{ plugin, reason string }

// through takes a request through a chain.
func through[M any](a *Chains, chain []process.Handler[M], names []string, req, resp M, d *compare.Datagram) (reply M, stopped bool, by decision) {
	defer exchange.Recover(func(value any, stack []byte) {
		if a.OnPanic != nil {
			a.OnPanic(value, stack)
		}
		var none M
		reply, stopped, by = none, true, decision{"coredhcp", "a plugin broke"}
	})
	from := process.Origin{Interface: d.Interface, Index: d.Index, Networks: d.Networks, Peer: d.From, Dst: d.To.Addr()}
	for i, link := range chain {
		decided := false
		from.Decided = func(plugin, _, reason string) { by, decided = decision{plugin, reason}, true }
		if resp, stopped = link(req, resp, from); stopped {
			if !decided {
				by = decision{names[i], ""}
			}
			return resp, true, by
		}
	}
	return resp, false, by
}

// Ask4 asks what a request of DHCPv4 would be answered: the reply as its client
// would read it.
func (a *Chains) Ask4(req *dhcpv4.DHCPv4, d *compare.Datagram) compare.Answer {
	answer := compare.Answer{MAC: req.ClientHWAddr.String()}
	if mac, reason := exchange.Mac(req); reason == "" {
		answer.ID = a.id(mac)
	}
	asked := kind4(req)
	kind := kinds4[asked]
	if kind == dhcpv4.MessageTypeNone && !a.Releases {
		return answer
	}
	resp := new(dhcpv4.DHCPv4)
	prepare4(resp, req, kind)
	resp, _, by := through(a, a.V4, a.Names4, req, resp, d)
	answer.Plugin, answer.Reason = by.plugin, by.reason
	if why := withheld4(asked, resp); why != "" {
		silent(&answer, why)
		return answer
	}
	if kind4(resp) == dhcpv4.MessageTypeNak && addr4(req.GatewayIPAddr).IsValid() {
		resp.SetBroadcast() // as send4 does
	}
	sent, err := dhcpv4.FromBytes(appendMessage4(nil, resp))
	if err != nil {
		answer.Reason = fmt.Sprintf("a reply that cannot be read: %v", err)
		return answer
	}
	answer.V4 = sent
	return answer
}

// silent notes why the packet loop would send nothing, unless a plugin said why.
func silent(a *compare.Answer, why reason) {
	if a.Plugin == "" {
		a.Plugin, a.Reason = "coredhcp", string(why)
	}
}

// Ask6 is the Ask4 of DHCPv6.
func (a *Chains) Ask6(req dhcpv6.DHCPv6, d *compare.Datagram) compare.Answer {
	var answer compare.Answer
	read, _ := exchange.Read6(req)
	if read.Inner == nil {
		return answer
	}
	if mac, reason := read.Mac(d.From.Addr()); reason == "" {
		answer.MAC, answer.ID = net.HardwareAddr(mac[:]).String(), a.id(mac)
	}
	prepared, why := prepare6(read.Inner)
	if why != "" {
		answer.Plugin, answer.Reason = "coredhcp", string(why)
		return answer
	}
	resp, _, by := through(a, a.V6, a.Names6, req, dhcpv6.DHCPv6(prepared), d)
	answer.Plugin, answer.Reason = by.plugin, by.reason
	if resp == nil {
		silent(&answer, silence)
		return answer
	}
	said, err := resp.GetInnerMessage()
	if err != nil || !exchange.Says6(read.Inner, said) {
		silent(&answer, empty)
		return answer
	}
	if answer.V6, err = dhcpv6.FromBytes(said.ToBytes()); err != nil {
		answer.V6, answer.Reason = nil, fmt.Sprintf("a reply that cannot be read: %v", err)
	}
	return answer
}

// id is the component of a machine; empty: SMD does not know it.
func (a *Chains) id(mac [6]byte) string {
	if a.Machines.ID == nil {
		return ""
	}
	return a.Machines.ID(mac)
}
