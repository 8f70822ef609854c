package coresmd

import (
	"maps"
	"sync/atomic"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A last4 remembers what the plugins before this one put into a reply, and
// where its request came from. Nothing else tells what they would put into the
// reply to a question of the administrator.
type last4 struct {
	next atomic.Int64 // when to look again
	seen atomic.Pointer[prepared4]
}

// A prepared4 is never written to.
type prepared4 struct {
	options dhcpv4.Options
	from    process.Origin
}

// lookAgain is how long a prepared reply is taken as an example.
const lookAgain = time.Minute

func (l *last4) see(req, resp *dhcpv4.DHCPv4, from process.Origin, now time.Time) {
	next := l.next.Load()
	if now.UnixNano() < next || !l.next.CompareAndSwap(next, now.Add(lookAgain).UnixNano()) {
		return
	}
	switch req.MessageType() {
	case dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest:
	default:
		l.next.Store(0)
		return
	}
	options := maps.Clone(resp.Options)
	for _, code := range []dhcpv4.OptionCode{dhcpv4.OptionDHCPMessageType, dhcpv4.OptionClientIdentifier, dhcpv4.OptionRelayAgentInformation} {
		delete(options, code.Code())
	}
	l.seen.Store(&prepared4{options, from})
}

// prepare returns the reply that this plugin would get for a request, and
// false if none was seen yet.
func (l *last4) prepare(req *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, process.Origin, bool) {
	resp, err := dhcpv4.NewReplyFromRequest(req)
	if err != nil {
		return &dhcpv4.DHCPv4{Options: make(dhcpv4.Options)}, process.Origin{}, false
	}
	kind := dhcpv4.MessageTypeAck
	if req.MessageType() == dhcpv4.MessageTypeDiscover {
		kind = dhcpv4.MessageTypeOffer
	}
	resp.UpdateOption(dhcpv4.OptMessageType(kind))
	seen := l.seen.Load()
	if seen == nil {
		return resp, process.Origin{}, false
	}
	maps.Copy(resp.Options, seen.options)
	return resp, seen.from, true
}
