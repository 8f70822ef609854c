package server

import (
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/mmsg"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// answer6 takes a packet through the chain. It returns why there is no reply.
func (s *socket) answer6(p *packet, w *writing) reason {
	req := p.v6
	inner, err := req.GetInnerMessage()
	if err != nil {
		return malformed
	}
	prepared, why := prepare6(inner)
	if why != "" {
		return why
	}
	resp := dhcpv6.DHCPv6(prepared)
	origin := s.origin(p, w)
	var stop bool
	for _, link := range s.loop.chains.Load().v6 {
		if resp, stop = link(req, resp, origin); stop {
			break
		}
	}
	if resp == nil {
		return silence
	}
	if said, err := resp.GetInnerMessage(); err != nil || !exchange.Says6(inner, said) {
		return empty
	}
	return s.send6(p, resp, w)
}

// prepare6 returns the reply that the chain begins with.
func prepare6(msg *dhcpv6.Message) (*dhcpv6.Message, reason) {
	kind := dhcpv6.MessageTypeReply
	switch msg.Type() {
	case dhcpv6.MessageTypeSolicit:
		if msg.GetOneOption(dhcpv6.OptionRapidCommit) == nil {
			kind = dhcpv6.MessageTypeAdvertise
		}
	case dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind,
		dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline, dhcpv6.MessageTypeInformationRequest:
	default:
		return nil, badType
	}
	client := msg.GetOneOption(dhcpv6.OptionClientID)
	if client == nil && msg.Type() != dhcpv6.MessageTypeInformationRequest {
		return nil, malformed // RFC 8415 section 16
	}
	resp := &dhcpv6.Message{MessageType: kind, TransactionID: msg.TransactionID}
	if client != nil {
		resp.AddOption(client)
	}
	if msg.Type() == dhcpv6.MessageTypeSolicit && kind == dhcpv6.MessageTypeReply {
		dhcpv6.WithRapidCommit(resp)
	}
	return resp, ""
}

// send6 queues a reply for whom the packet came from.
func (s *socket) send6(p *packet, resp dhcpv6.DHCPv6, w *writing) reason {
	if relay, ok := p.v6.(*dhcpv6.RelayMessage); ok {
		wrapped, err := wrap(relay, resp)
		if err != nil {
			return malformed
		}
		resp = wrapped
	}
	m := mmsg.Message{To: p.From, Payload: resp.ToBytes()}
	if m.To.Addr().IsLinkLocalUnicast() {
		m.Index = p.Index
	} else if p.Dst.IsGlobalUnicast() {
		m.Source = s.loop.pinned(p.Dst)
	}
	p.replied(m.Source, s.addr.Port(), m.To, m.Payload)
	return w.add(s.out, m)
}

// wrap puts a reply into the envelopes of the relays that the request came
// through. Each gets back what it must: the library does not know of the relay
// source port (RFC 8357 section 5.2).
func wrap(req *dhcpv6.RelayMessage, resp dhcpv6.DHCPv6) (dhcpv6.DHCPv6, error) {
	msg, ok := resp.(*dhcpv6.Message)
	if !ok {
		return resp, nil
	}
	wrapped, err := dhcpv6.NewRelayReplFromRelayForw(req, msg)
	if err != nil {
		return nil, err
	}
	for from, to := dhcpv6.DHCPv6(req), wrapped; from.IsRelay() && to.IsRelay(); {
		relay, reply := from.(*dhcpv6.RelayMessage), to.(*dhcpv6.RelayMessage)
		if port := relay.GetOneOption(dhcpv6.OptionRelayPort); port != nil {
			reply.AddOption(port)
		}
		if from, to = relay.Options.RelayMessage(), reply.Options.RelayMessage(); from == nil || to == nil {
			break
		}
	}
	return wrapped, nil
}
