package coresmd

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A last6 is the last4 of DHCPv6.
type last6 struct {
	next atomic.Int64 // when to look again
	seen atomic.Pointer[prepared6]
}

// A prepared6 is never written to.
type prepared6 struct {
	options dhcpv6.Options
	from    process.Origin
}

func (l *last6) see(x *exchange6, now time.Time) {
	if x.ask.State != exchange.Solicit && x.ask.State != exchange.Requesting {
		return
	}
	next := l.next.Load()
	if now.UnixNano() < next || !l.next.CompareAndSwap(next, now.Add(lookAgain).UnixNano()) {
		return
	}
	options := slices.DeleteFunc(slices.Clone(x.prepared.Options.Options), func(o dhcpv6.Option) bool {
		return slices.Contains(ofTheClient, o.Code())
	})
	l.seen.Store(&prepared6{options, x.from})
}

// ofTheClient are the options of a reply that are for one client only.
var ofTheClient = []dhcpv6.OptionCode{
	dhcpv6.OptionClientID, dhcpv6.OptionIANA, dhcpv6.OptionIATA, dhcpv6.OptionIAPD, dhcpv6.OptionRapidCommit, dhcpv6.OptionStatusCode,
}

// prepare returns the reply that this plugin would get for a request, and false
// if none was seen yet.
func (l *last6) prepare(req *dhcpv6.Message) (*dhcpv6.Message, process.Origin, bool) {
	kind := dhcpv6.MessageTypeReply
	if req.MessageType == dhcpv6.MessageTypeSolicit {
		kind = dhcpv6.MessageTypeAdvertise
	}
	d := &dhcpv6.Message{MessageType: kind, TransactionID: req.TransactionID}
	if id := req.GetOneOption(dhcpv6.OptionClientID); id != nil {
		d.AddOption(id)
	}
	seen := l.seen.Load()
	if seen == nil {
		return d, process.Origin{}, false
	}
	d.Options.Options = append(d.Options.Options, seen.options...)
	return d, seen.from, true
}
