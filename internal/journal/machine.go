package journal

import (
	"net/netip"
	"time"
)

// A Machine is what is remembered of one.
type Machine struct {
	MAC         MAC
	Known       bool // to SMD, when it was last heard
	First, Last time.Time
	Addr        netip.Addr // last given to it; invalid: none
	Step        Step
	StepAt      time.Time

	// Of its last messages.
	Giaddr                           netip.Addr
	Circuit, Remote, Class, Hostname string
	Arch                             uint16
	HasArch                          bool

	Events []Past // in the order in which they were last seen
}

// A Past is what a machine did, once or several times the same.
type Past struct {
	First, Last                     time.Time
	Times                           int
	Kind                            Kind
	Plugin, Message, State, Verdict string
	Reason                          string
	Addr                            netip.Addr
	Bootfile, Rule                  string
	Octets                          int64 // of the last transfer
}

// A record is a machine, packed.
type record struct {
	mac            MAC
	known, hasArch bool
	step           Step
	arch           uint16
	class          text
	giaddr, addr   addr16
	first, last    int64
	stepAt         int64
	circuit        string
	remote         string
	hostname       string
	events         []past
	newer, older   *record // in the list that it is in
}

// A past is an event, packed.
type past struct {
	first                           int64
	later                           uint32 // ticks from first to last
	times                           uint32
	octets                          uint32
	reason, bootfile, rule          text
	addr                            addr16
	kind                            Kind
	plugin, message, state, verdict word
}

// tick is the unit of past.later: 497 days fit.
const tick = 10 * time.Millisecond

func (p *past) last() int64 { return p.first + int64(p.later)*int64(tick) }

// same says that two events tell the same.
func (p *past) same(o *past) bool {
	return p.kind == o.kind && p.plugin == o.plugin && p.message == o.message && p.state == o.state && p.verdict == o.verdict &&
		p.reason == o.reason && p.bootfile == o.bootfile && p.rule == o.rule && p.addr == o.addr
}

// An addr16 is an address in sixteen octets, an IPv4 one mapped; zero: none.
type addr16 [16]byte

func pack(a netip.Addr) addr16 {
	if !a.IsValid() {
		return addr16{}
	}
	return a.As16()
}

func (a addr16) addr() netip.Addr {
	if a == (addr16{}) {
		return netip.Addr{}
	}
	return netip.AddrFrom16(a).Unmap()
}

// advance returns how far the boot has come after an event.
func (r *record) advance(e *Event) Step {
	switch {
	case e.Kind != Exchange && e.Verdict == sent && r.step < Loader:
		return Loader
	case e.Kind != Exchange:
		return r.step
	case e.IPXE && e.Leased && e.Bootfile != "":
		return Script
	case e.IPXE:
		return Asking
	}
	return r.withoutIPXE(e)
}

// withoutIPXE is how far the boot has come after a message that is not
// iPXE's.
func (r *record) withoutIPXE(e *Event) Step {
	switch {
	case e.Boots && e.Leased:
		return Ack
	case e.Boots:
		return Discover
	case e.Leased:
		return Up
	}
	return r.step
}

// sent is the verdict of a transfer that the client has as a whole.
const sent = "sent"
