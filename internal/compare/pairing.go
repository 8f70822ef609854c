package compare

import (
	"bytes"
	"container/list"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A Datagram is a UDP datagram as it was seen on the wire.
type Datagram struct {
	Time      time.Time
	Interface string         // name of the interface that it was seen on
	Index     int            // its index
	Networks  []netip.Prefix // addresses of that interface; not to be written to
	From, To  netip.AddrPort
	Payload   []byte
}

// placed says that the interface has an address that a server would answer from.
func (d *Datagram) placed() bool {
	return slices.ContainsFunc(d.Networks, func(p netip.Prefix) bool {
		return p.Addr().Is4() == d.To.Addr().Is4() && !p.Addr().IsLinkLocalUnicast()
	})
}

// An Answer is what we make of a request. At most one of the two messages is
// there.
type Answer struct {
	V4     *dhcpv4.DHCPv4
	V6     dhcpv6.DHCPv6
	Plugin string // that decided it
	Reason string

	MAC string // of the client; of DHCPv6 it may not be known
	ID  string // of the machine; empty: it is not known
}

// Options are the settings of a pairing.
type Options struct {
	// Ask4 and Ask6 ask us. They may write to the request. A family without one
	// is left out.
	Ask4 func(*dhcpv4.DHCPv4, *Datagram) Answer
	Ask6 func(dhcpv6.DHCPv6, *Datagram) Answer

	// AsIs has requests asked as they were sent, also those that name another
	// server and its address: the record is of ourselves.
	AsIs bool

	Wait time.Duration   // by which a reply comes, in the time of the datagrams; 0 means DefaultWait
	Most int             // requests that wait at once; 0 means DefaultMost
	Tell func(*Exchange) // called with each exchange, the one that was asked last before others
}

// Bounds of a pairing.
const (
	DefaultWait = 5 * time.Second
	DefaultMost = 32768 // 10,000 machines discover and select at once
	mostOffers  = 65536 // clients whose offer of ours is remembered
	mostSecond  = 16    // servers that answer one request
	mostOctets  = 4096  // of a datagram: more than a frame holds but for jumbo frames
	// copied is within what time the same octets, seen elsewhere, are the same
	// packet: it is on a bridge and on a port of it.
	copied = time.Second
	// echoed is within what time the same octets, seen on the same interface, are
	// the same packet: loopback shows it leaving and coming.
	echoed = 10 * time.Millisecond
)

// A Pairing pairs requests with replies. It is for one goroutine.
type Pairing struct {
	opts    Options
	open    map[key]*pending
	relayed map[key]key // of requests that a relay passed on: from what its client sent
	queue   list.List   // of *pending, the one that is due first in front
	offers  offers
	probed  key // the last health check; its reply is not looked at
	counts  Counts
}

// Counts are of datagrams that are no exchange of their own.
type Counts struct {
	Datagrams int `json:"datagrams"`
	Malformed int `json:"malformed"` // no message of DHCP, one that no client or server sends, or one of more than 4096 octets
	Strays    int `json:"strays"`    // replies whose request was not seen, or is long past
	Copies    int `json:"copies"`    // seen more than once: on several interfaces, or on both sides of a relay
	Repeated  int `json:"repeated"`  // sent again by a client that had no answer
	Probes    int `json:"probes"`    // requests of health checks of a server, which are not compared
	Early     int `json:"cut_short"` // exchanges that ended early, because too many were open
}

// A key is what a reply has in common with its request.
type key struct {
	six    bool
	kind   kind
	xid    [4]byte
	client string // hardware address, or DUID
	relay  string // the relay nearest to the server; empty: none
}

// A kind is what a request is: its message type, and of a DHCPREQUEST the state
// that it shows. A client may renew in the transaction in which it selected.
type kind struct {
	message uint8
	state   uint8
}

// A pending is an exchange that may still get replies.
type pending struct {
	Exchange
	key      key
	datagram Datagram // of the request, its octets our own
	hops     uint8
	due      time.Time
	element  *list.Element
}

// New returns a pairing that has seen nothing yet.
func New(o Options) *Pairing {
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	if o.Most == 0 {
		o.Most = DefaultMost
	}
	return &Pairing{opts: o, open: make(map[key]*pending), relayed: make(map[key]key), offers: newOffers(mostOffers)}
}

// Counts returns what was counted so far.
func (p *Pairing) Counts() Counts { return p.counts }

// Add takes the next datagram, whose octets it does not keep. Exchanges that
// were due before it end.
func (p *Pairing) Add(d Datagram) {
	p.End(d.Time)
	p.counts.Datagrams++
	defer func() {
		if recover() != nil {
			p.counts.Malformed++ // the library's trouble with it is not ours
		}
	}()
	read := p.add4
	if d.From.Port() == dhcpv6.DefaultClientPort || d.From.Port() == dhcpv6.DefaultServerPort ||
		d.To.Port() == dhcpv6.DefaultClientPort || d.To.Port() == dhcpv6.DefaultServerPort {
		read = p.add6
	}
	if len(d.Payload) > mostOctets || !read(&d) {
		p.counts.Malformed++
	}
}

// End ends the exchanges whose replies should have come by now.
func (p *Pairing) End(now time.Time) {
	for front := p.queue.Front(); front != nil; front = p.queue.Front() {
		if x := front.Value.(*pending); x.due.After(now) {
			return
		}
		p.end(front.Value.(*pending), true)
	}
}

// Cut ends all exchanges. Those without a reply are unfinished.
func (p *Pairing) Cut() {
	for front := p.queue.Front(); front != nil; front = p.queue.Front() {
		p.end(front.Value.(*pending), false)
	}
}

// end ends one exchange.
func (p *Pairing) end(x *pending, finished bool) {
	p.forget(x)
	x.judge(finished)
	if p.opts.Tell != nil {
		p.opts.Tell(&x.Exchange)
	}
}

func (p *Pairing) forget(x *pending) {
	p.queue.Remove(x.element)
	delete(p.open, x.key)
	if direct := x.key.direct(); p.relayed[direct] == x.key {
		delete(p.relayed, direct)
	}
}

// direct is the key of what the client of a relay sent.
func (k key) direct() key {
	k.relay = ""
	return k
}

// A message is a request of either family.
type message interface {
	// ask asks us.
	ask(*Pairing, *Datagram) Answer
	// describe writes down who asks what.
	describe(*Exchange, *Datagram)
}

// request takes a request. hops says how many relays it went through.
func (p *Pairing) request(k key, hops uint8, m message, d *Datagram) {
	if _, passed := p.relayed[k]; passed && k.relay == "" {
		p.counts.Copies++ // its relay's is compared
		return
	}
	if x := p.open[k]; x != nil {
		p.again(x, hops, m, d)
		return
	}
	if len(p.open) >= p.opts.Most {
		p.counts.Early++
		p.end(p.queue.Front().Value.(*pending), false)
	}
	own := *d
	own.Payload = bytes.Clone(d.Payload)
	x := &pending{key: k, datagram: own, hops: hops, due: d.Time.Add(p.opts.Wait)}
	x.Time, x.Times = d.Time, 1
	m.describe(&x.Exchange, d)
	p.ask(x, m)
	if k.relay != "" {
		p.passedOn(k)
	}
	p.open[k], x.element = x, p.queue.PushBack(x)
}

// passedOn notes that a relay passes on what its client sent, which is not
// compared then if nobody has answered it.
func (p *Pairing) passedOn(k key) {
	direct := k.direct()
	p.relayed[direct] = k
	if x := p.open[direct]; x != nil && len(x.Replies) == 0 {
		p.counts.Copies++
		p.forget(x)
		p.relayed[direct] = k
	}
}

// again takes a request that was seen before: the same packet, or one that the
// client has sent again.
func (p *Pairing) again(x *pending, hops uint8, m message, d *Datagram) {
	since := d.Time.Sub(x.datagram.Time)
	same := bytes.Equal(x.datagram.Payload, d.Payload) &&
		(d.Index != x.datagram.Index && since < copied || d.Index == x.datagram.Index && since < echoed)
	switch {
	case same:
		p.counts.Copies++
		if !x.datagram.placed() && d.placed() {
			x.datagram.Interface, x.datagram.Index, x.datagram.Networks = d.Interface, d.Index, d.Networks
			p.ask(x, m)
		}
	case hops != x.hops: // between two relays
		p.counts.Copies++
	default:
		p.counts.Repeated++
		x.Times++
		x.datagram.Time, x.due = d.Time, d.Time.Add(p.opts.Wait)
		p.queue.MoveToBack(x.element)
	}
}

// ask asks us what an exchange's request would be answered.
func (p *Pairing) ask(x *pending, m message) {
	a := m.ask(p, &x.datagram)
	x.Interface = x.datagram.Interface
	if a.MAC != "" {
		x.Client = a.MAC
	}
	x.ID, x.Ours = a.ID, replyOf(a.V4, a.V6)
	x.Ours.Plugin, x.Ours.Reason = a.Plugin, a.Reason
}

// reply takes a reply to the latest of these requests.
func (p *Pairing) reply(keys []key, r Reply) *pending {
	var latest *pending
	for _, k := range keys {
		if x := p.open[k]; x != nil && (latest == nil || x.datagram.Time.After(latest.datagram.Time)) {
			latest = x
		}
	}
	if latest == nil {
		p.counts.Strays++
		return nil
	}
	known := slices.ContainsFunc(latest.Replies, func(other Reply) bool { return other.Server == r.Server })
	if !known && len(latest.Replies) < mostSecond {
		latest.Replies = append(latest.Replies, r)
	}
	return latest
}

// replyOf writes a reply down.
func replyOf(v4 *dhcpv4.DHCPv4, v6 dhcpv6.DHCPv6) Reply {
	switch {
	case v4 != nil:
		return reply4(v4)
	case v6 != nil:
		return reply6(v6)
	}
	return Reply{Answer: noReply}
}
