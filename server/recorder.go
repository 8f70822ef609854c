package server

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/record"
)

// see begins the record of a datagram, if packets are recorded. Its payload is
// copied.
func (s *socket) see(p *packet) {
	if s.loop.ring == nil {
		return
	}
	i, _ := s.loop.table.Index(p.Index)
	p.seen = &record.Exchange{
		Time: time.Now(), Interface: record.Interface{Name: i.Name, Networks: i.Networks},
		From: p.From, V6: !s.v4(), Request: bytes.Clone(p.Payload),
	}
	if p.Dst.IsValid() {
		p.seen.To = netip.AddrPortFrom(p.Dst, s.addr.Port())
	}
}

// replied notes the reply to a packet. from may have no address: the kernel
// chooses it then, and it is taken to be one of the receiving interface.
func (p *packet) replied(from netip.Addr, port uint16, to netip.AddrPort, octets []byte) {
	x := p.seen
	if x == nil {
		return
	}
	if !from.IsValid() {
		from = p.local(to.Addr())
	}
	x.Replied, x.ReplyFrom, x.ReplyTo, x.Reply = time.Now(), netip.AddrPortFrom(from, port), to, bytes.Clone(octets)
}

// local is the address of this host that a reply comes from, as far as that can be
// told.
func (p *packet) local(to netip.Addr) netip.Addr {
	if p.Dst.IsValid() && !p.Dst.IsMulticast() && p.Dst != netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return p.Dst
	}
	at := slices.IndexFunc(p.seen.Interface.Networks, func(n netip.Prefix) bool {
		a := n.Addr()
		return a.Is4() == to.Is4() && a.IsLinkLocalUnicast() == (to.Is6() && to.IsLinkLocalUnicast())
	})
	if at < 0 {
		return netip.Addr{}
	}
	return p.seen.Interface.Networks[at].Addr()
}

// recorded ends the record of a packet. why is that of the loop, if it was dropped.
func (s *socket) recorded(p *packet, why reason) {
	x := p.seen
	if x == nil {
		return
	}
	p.seen = nil
	switch {
	case why != "" && (why != silence || len(x.Decisions) == 0):
		x.Reply = nil // it did not leave
		x.Decide("coredhcp", "no reply", string(why))
	case why == "" && len(x.Decisions) == 0:
		x.Decide("coredhcp", "reply", "a plugin that does not say why")
	}
	s.loop.ring.Add(x)
}
