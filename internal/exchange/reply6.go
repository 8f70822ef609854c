package exchange

import (
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// Times6 are the times of an address and of its IA (RFC 8415 section 21.4).
type Times6 struct{ Preferred, Valid, T1, T2 time.Duration }

// NewTimes6 returns a lease time with T1 at a half and T2 at four fifths.
func NewTimes6(lease time.Duration) Times6 {
	return Times6{lease, lease, (lease / 2).Truncate(time.Second), (lease * 4 / 5).Truncate(time.Second)}
}

// IA returns an IA with an address.
func (t Times6) IA(iaid [4]byte, a netip.Addr) *dhcpv6.OptIANA {
	ia := &dhcpv6.OptIANA{IaId: iaid, T1: t.T1, T2: t.T2}
	ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: a.AsSlice(), PreferredLifetime: t.Preferred, ValidLifetime: t.Valid})
	return ia
}

// Answer returns the answer to an IA: the address that the client gets there,
// or NoAddrsAvail if that is invalid. To a Renew or Rebind every other address
// that the client lists comes back with lifetimes of zero, which ends its use.
func (r *Request6) Answer(ia *dhcpv6.OptIANA, a netip.Addr, t Times6) *dhcpv6.OptIANA {
	answer := &dhcpv6.OptIANA{IaId: ia.IaId}
	if a.IsValid() {
		answer = t.IA(ia.IaId, a)
	}
	if r.State == Renew || r.State == Rebind {
		for _, other := range Addrs(ia) {
			if other != a {
				answer.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: other.AsSlice()})
			}
		}
	}
	if len(answer.Options.Options) == 0 {
		answer.Options.Add(Status(iana.StatusNoAddrsAvail))
	}
	return answer
}

// statusTexts say to a reader of a trace what a code means.
var statusTexts = map[iana.StatusCode]string{
	iana.StatusSuccess:       "all is well",
	iana.StatusNoAddrsAvail:  "no address for you here",
	iana.StatusNoPrefixAvail: "no prefixes are delegated",
	iana.StatusNoBinding:     "not from here",
	iana.StatusNotOnLink:     "not of this network",
}

// Status returns a status.
func Status(code iana.StatusCode) *dhcpv6.OptStatusCode {
	return &dhcpv6.OptStatusCode{StatusCode: code, StatusMessage: statusTexts[code]}
}

// Refuse writes into a prepared reply what a client is told that nobody serves,
// for a later plugin to replace: NoAddrsAvail or NoBinding in each IA that the
// reply does not hold yet. To a Solicit that is an Advertise. A Confirm and a
// Rebind that nobody can judge are told nothing.
func (r *Request6) Refuse(d *dhcpv6.Message) {
	switch r.State {
	case Solicit:
		if !Served(d) {
			r.Advertise(d)
		}
		r.refuseIAs(d, iana.StatusNoAddrsAvail, iana.StatusNoPrefixAvail)
	case Requesting:
		r.refuseIAs(d, iana.StatusNoAddrsAvail, iana.StatusNoPrefixAvail)
	case Renew:
		r.refuseIAs(d, iana.StatusNoBinding, iana.StatusNoBinding)
	case Release, Decline:
		d.UpdateOption(Status(iana.StatusSuccess))
		r.refuseIAs(d, iana.StatusNoBinding, iana.StatusNoBinding)
	}
}

// RefuseOthers writes into a reply what a client is told that is given addresses
// only: NoAddrsAvail in each IA_TA, NoPrefixAvail in each IA_PD that the reply
// does not hold yet.
func (r *Request6) RefuseOthers(d *dhcpv6.Message) {
	for _, o := range r.Inner.Options.Options {
		if _, ok := o.(*dhcpv6.OptIANA); !ok {
			refuseIA(d, o, iana.StatusNoAddrsAvail, iana.StatusNoPrefixAvail)
		}
	}
}

func (r *Request6) refuseIAs(d *dhcpv6.Message, addrs, prefixes iana.StatusCode) {
	for _, o := range r.Inner.Options.Options {
		refuseIA(d, o, addrs, prefixes)
	}
}

// refuseIA writes the refusal of an IA, and does nothing for another option.
func refuseIA(d *dhcpv6.Message, o dhcpv6.Option, addrs, prefixes iana.StatusCode) {
	if !isIA(o) || find(d, o) >= 0 {
		return
	}
	switch ia := o.(type) {
	case *dhcpv6.OptIANA:
		refusal := &dhcpv6.OptIANA{IaId: ia.IaId}
		refusal.Options.Add(Status(addrs))
		d.AddOption(refusal)
	case *dhcpv6.OptIATA:
		refusal := &dhcpv6.OptIATA{IaId: ia.IaId}
		refusal.Options.Add(Status(addrs))
		d.AddOption(refusal)
	case *dhcpv6.OptIAPD:
		refusal := &dhcpv6.OptIAPD{IaId: ia.IaId}
		refusal.Options.Add(Status(prefixes))
		d.AddOption(refusal)
	}
}

// SetIA puts an IA into a reply, in the place of the one that the reply holds
// with its kind and IAID.
func SetIA(d *dhcpv6.Message, ia *dhcpv6.OptIANA) {
	if at := find(d, ia); at >= 0 {
		d.Options.Options[at] = ia
		return
	}
	d.AddOption(ia)
}

// Advertise makes the reply to a Solicit an Advertise: without an address there
// is nothing to commit.
func (r *Request6) Advertise(d *dhcpv6.Message) {
	if r.State == Solicit {
		d.MessageType = dhcpv6.MessageTypeAdvertise
		d.Options.Del(dhcpv6.OptionRapidCommit)
	}
}

// Commit makes the reply to a Solicit with rapid commit a Reply, whatever an
// earlier plugin made of it.
func (r *Request6) Commit(d *dhcpv6.Message) {
	if r.Rapid() {
		d.MessageType = dhcpv6.MessageTypeReply
		dhcpv6.WithRapidCommit(d)
	}
}

// Verdict is the verdict on a message that is answered with d.
func (r *Request6) Verdict(d *dhcpv6.Message) Verdict {
	if d.MessageType == dhcpv6.MessageTypeAdvertise {
		return Advertise
	}
	return Reply
}

// Served says that an earlier plugin gave something out.
func Served(d *dhcpv6.Message) bool {
	return slices.ContainsFunc(d.Options.Options, func(o dhcpv6.Option) bool {
		switch ia := o.(type) {
		case *dhcpv6.OptIANA:
			return ia.Options.OneAddress() != nil
		case *dhcpv6.OptIAPD:
			return len(ia.Options.Prefixes()) > 0
		}
		return false
	})
}

// Given says that an earlier plugin gave an address to an IA.
func Given(d *dhcpv6.Message, ia *dhcpv6.OptIANA) bool {
	at := find(d, ia)
	if at < 0 {
		return false
	}
	has, ok := d.Options.Options[at].(*dhcpv6.OptIANA)
	return ok && has.Options.OneAddress() != nil
}

// find returns the place of the IA of a reply that has the kind and the IAID of
// another; -1: there is none.
func find(d *dhcpv6.Message, ia dhcpv6.Option) int {
	id := iaid(ia)
	return slices.IndexFunc(d.Options.Options, func(o dhcpv6.Option) bool {
		return o.Code() == ia.Code() && iaid(o) == id
	})
}

func isIA(o dhcpv6.Option) bool {
	switch o.(type) {
	case *dhcpv6.OptIANA, *dhcpv6.OptIATA, *dhcpv6.OptIAPD:
		return true
	}
	return false
}

func iaid(o dhcpv6.Option) [4]byte {
	switch ia := o.(type) {
	case *dhcpv6.OptIANA:
		return ia.IaId
	case *dhcpv6.OptIATA:
		return ia.IaId
	case *dhcpv6.OptIAPD:
		return ia.IaId
	}
	return [4]byte{}
}

// LeaseEvent6 says in one word what a verdict makes of a lease; empty: nothing.
// given says that the reply holds an address that the client may use.
func LeaseEvent6(s State, v Verdict, given bool) string {
	switch {
	case v != Reply:
		return ""
	case s == Release:
		return "released"
	case s == Decline:
		return "declined"
	case s == Confirm || s == InfoRequest:
		return ""
	case !given:
		return "refused"
	case s == Renew || s == Rebind:
		return "renewed"
	}
	return "given"
}
