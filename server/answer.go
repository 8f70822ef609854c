package server

import (
	"fmt"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// Answer4 takes a request through a chain as the packet loop does, without a
// socket. It returns the reply as its client would read it; nil is none, and why
// says why not, with a reason of the loop's metrics.
func Answer4(chain []process.Handler[*dhcpv4.DHCPv4], req *dhcpv4.DHCPv4, from process.Origin) (reply *dhcpv4.DHCPv4, why string) {
	defer exchange.Recover(func(any, []byte) { reply, why = nil, string(panicked) })
	if req.OpCode != dhcpv4.OpcodeBootRequest {
		return nil, string(notRequest)
	}
	asked := kind4(req)
	kind, ok := kinds4[asked]
	if !ok {
		return nil, string(badType)
	}
	resp := new(dhcpv4.DHCPv4)
	prepare4(resp, req, kind)
	resp = through(chain, req, resp, from)
	if why := withheld4(asked, resp); why != "" {
		return nil, string(why)
	}
	if kind4(resp) == dhcpv4.MessageTypeNak && addr4(req.GatewayIPAddr).IsValid() {
		resp.SetBroadcast() // as send4 does
	}
	sent, err := dhcpv4.FromBytes(appendMessage4(nil, resp))
	if err != nil {
		return nil, fmt.Sprintf("a reply that cannot be read: %v", err)
	}
	return sent, ""
}

// Answer6 is the Answer4 of DHCPv6. The reply to a request that came through
// relays is in their envelopes.
func Answer6(chain []process.Handler[dhcpv6.DHCPv6], req dhcpv6.DHCPv6, from process.Origin) (reply dhcpv6.DHCPv6, why string) {
	defer exchange.Recover(func(any, []byte) { reply, why = nil, string(panicked) })
	inner, err := req.GetInnerMessage()
	if err != nil {
		return nil, string(malformed)
	}
	prepared, dropped := prepare6(inner)
	if dropped != "" {
		return nil, string(dropped)
	}
	resp := through(chain, req, dhcpv6.DHCPv6(prepared), from)
	if resp == nil {
		return nil, string(silence)
	}
	if said, err := resp.GetInnerMessage(); err != nil || !exchange.Says6(inner, said) {
		return nil, string(empty)
	}
	if relay, ok := req.(*dhcpv6.RelayMessage); ok {
		if resp, err = wrap(relay, resp); err != nil {
			return nil, string(malformed)
		}
	}
	if resp, err = dhcpv6.FromBytes(resp.ToBytes()); err != nil {
		return nil, fmt.Sprintf("a reply that cannot be read: %v", err)
	}
	return resp, ""
}

// through takes a request through a chain.
func through[M any](chain []process.Handler[M], req, resp M, from process.Origin) M {
	for _, link := range chain {
		var stop bool
		if resp, stop = link(req, resp, from); stop {
			break
		}
	}
	return resp
}
