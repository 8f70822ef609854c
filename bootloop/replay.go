package bootloop

import (
	"context"
	"net/netip"
	"slices"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// PublishedRecall4 is the name under which a Recall4 is published while a record
// is replayed.
const PublishedRecall4 = "leases of a record, DHCPv4"

// A Recall4 has a client hold what it held when this server answered so, before
// the request is asked again: a record does not begin with the first lease. What
// somebody else holds meanwhile stays as it is.
type Recall4 = func(req, reply *dhcpv4.DHCPv4)

// PublishedRecall6 is the PublishedRecall4 of DHCPv6.
const PublishedRecall6 = "leases of a record, DHCPv6"

// A Recall6 is the Recall4 of DHCPv6. It is told of messages without relays.
type Recall6 = func(req, reply *dhcpv6.Message)

func (s *service) recall4(req, reply *dhcpv4.DHCPv4) {
	mac, reason := exchange.Mac(req)
	if reason != "" {
		return
	}
	ask := exchange.Read(req, exchange.ServerOf(reply))
	returning := ask.State == exchange.Renewing || ask.State == exchange.InitReboot
	switch reply.MessageType() {
	case dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck:
		s.held(lease.Of(mac), exchange.Addr(reply.YourIPAddr), returning)
	case dhcpv4.MessageTypeNak:
		if returning && reply.Message() == renewalText {
			s.held(lease.Of(mac), ask.Addr, true)
		}
	}
}

func (s *service) recall6(req, reply *dhcpv6.Message) {
	read, wrong := exchange.Read6(req)
	if wrong != "" || read.Client == nil {
		return
	}
	s.recallGiven(read, reply)
	if read.State == exchange.Release || read.State == exchange.Decline {
		s.recallLeft(read, reply)
	}
}

// recallGiven has a client hold what a reply gives it.
func (s *service) recallGiven(read exchange.Request6, reply *dhcpv6.Message) {
	returning := read.State == exchange.Renew || read.State == exchange.Rebind
	for _, ia := range reply.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			if addr, ok := netip.AddrFromSlice(a.IPv6Addr); ok && a.ValidLifetime > 0 {
				s.held(holder(read, ia), addr, returning)
			}
		}
	}
}

// recallLeft has a client hold what it gives up, unless the reply says that it held
// nothing.
func (s *service) recallLeft(read exchange.Request6, reply *dhcpv6.Message) {
	for _, ia := range read.Inner.Options.IANA() {
		if slices.ContainsFunc(reply.Options.IANA(), func(answer *dhcpv6.OptIANA) bool { return answer.IaId == ia.IaId }) {
			continue
		}
		for _, a := range exchange.Addrs(ia) {
			s.held(holder(read, ia), a, true)
		}
	}
}

// holder is an IA of a client as the lease table knows it.
func holder(r exchange.Request6, ia *dhcpv6.OptIANA) lease.Client {
	return lease.Client{DUID: string(r.Client.ToBytes()), IAID: ia.IaId}
}

// held has a client hold an address of a pool: by an offer, or by a lease.
func (s *service) held(c lease.Client, a netip.Addr, leased bool) {
	if _, pooled := s.leases.PoolOf(a); !pooled {
		return
	}
	if now, holds := s.leases.Held(c); holds && now.Addr == a {
		return
	}
	s.leases.Restore([]lease.Lease{{Client: c, Addr: a, Expires: s.clock().Add(s.offerTime)}})
	if leased {
		_, _ = s.leases.Confirm(context.Background(), c, a, "") // what it is not offered it does not hold
	}
}
