package journal

import (
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A LeaseState is what has become of a machine's lease of an address.
type LeaseState uint8

// The states of a lease.
const (
	NoLease  LeaseState = iota
	Offered             // and not taken
	Given               // until it ends
	Released            // by the machine
	Declined            // by the machine: somebody else has the address
	Refused             // it was to be renewed, and is not the machine's any more
)

// A Lease is an address that a machine was offered or given.
type Lease struct {
	Addr  netip.Addr
	State LeaseState
	Since time.Time // that it is in this state; a renewal changes nothing
	Ends  time.Time // of one that is given; else zero
}

// A Holder is a machine with its leases, in the order in which it came to them.
type Holder struct {
	MAC    MAC
	DUID   string // of its last message of DHCPv6, octets with colons; empty: none
	Leases []Lease
}

// mostLeases are remembered of a machine.
const mostLeases = 8

// A grant is a lease, packed. Times are in Unix seconds.
type grant struct {
	addr        addr16
	since, ends uint32
	state       LeaseState
}

// Leases calls visit for the machines that have leases, the one heard last
// first, until it returns false. What happens meanwhile is not waited for.
func (j *Journal) Leases(visit func(Holder) bool) {
	each(j, j.store.holder, func(h Holder) bool { return len(h.Leases) == 0 || visit(h) })
}

// lease enters what an event makes of leases.
func (s *store) lease(r *record, e *Event) {
	if e.Lease != NoLease && e.Held.IsValid() {
		r.lease(e, e.Held, e.Lease)
	}
	for _, a := range e.More {
		r.lease(e, a, e.Lease)
	}
	for _, a := range e.Gone {
		r.lease(e, a, Refused)
	}
}

func (r *record) lease(e *Event, a netip.Addr, to LeaseState) {
	at, addr := e.At.Unix(), pack(a)
	i := slices.IndexFunc(r.leases, func(h grant) bool { return h.addr == addr })
	if i < 0 {
		if to == Refused {
			return // somebody asked for what never was its own
		}
		i = r.roomForLease(seconds(at))
		r.leases[i].addr = addr
	}
	h := &r.leases[i]
	runs := h.state == Given && h.ends > seconds(at)
	switch {
	case to == Offered && runs:
		return // the machine asks anew; what it was given lasts
	case h.state != to, to == Given && !runs:
		h.state, h.since = to, seconds(at)
	}
	h.ends = 0
	if to == Given {
		h.ends = seconds(e.At.Add(e.Lasts).Unix())
	}
}

// roomForLease returns the place of a new lease: behind the others, or that of
// one that has ended, or of the oldest.
func (r *record) roomForLease(now uint32) int {
	if len(r.leases) < mostLeases {
		r.leases = append(slices.Grow(r.leases, 1), grant{})[: len(r.leases)+1 : len(r.leases)+1]
		return len(r.leases) - 1
	}
	i := max(0, slices.IndexFunc(r.leases, func(h grant) bool { return h.state != Given || h.ends <= now }))
	copy(r.leases[i:], r.leases[i+1:])
	r.leases[mostLeases-1] = grant{}
	return mostLeases - 1
}

func seconds(unix int64) uint32 { return uint32(min(max(unix, 0), math.MaxUint32)) }

// identify notes the client identifier of DHCPv6. That which is made of the
// machine's own MAC is one text for all of a kind.
func (s *store) identify(r *record, octets []byte) {
	text := net.HardwareAddr(octets[:min(len(octets), maxText)]).String()
	duid := s.texts.put(strings.ReplaceAll(text, net.HardwareAddr(r.mac[:]).String(), macOctet))
	s.texts.drop(r.duid)
	r.duid = duid
}

func (s *store) holder(r *record) Holder {
	h := Holder{MAC: r.mac, Leases: make([]Lease, len(r.leases))}
	h.DUID = strings.ReplaceAll(s.texts.get(r.duid), macOctet, net.HardwareAddr(r.mac[:]).String())
	for i, l := range r.leases {
		h.Leases[i] = Lease{Addr: l.addr.addr(), State: l.state, Since: time.Unix(int64(l.since), 0)}
		if l.state == Given {
			h.Leases[i].Ends = time.Unix(int64(l.ends), 0)
		}
	}
	return h
}
