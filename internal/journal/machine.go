package journal

import (
	"net/netip"
	"time"
)

// A Head is the least of what is remembered of a machine.
type Head struct {
	MAC    MAC
	Known  bool // to SMD, when it was last heard
	Step   Step
	StepAt time.Time // zero: it came to none
	Last   time.Time
	Tries  int       // boots since the last one that came to its script, the present one included
	Trying time.Time // when the first of them began; zero: none did
}

// A Machine is what is remembered of one.
type Machine struct {
	Head
	First time.Time
	Addr  netip.Addr // last given to it; invalid: none
	Boot  Boot

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
	owns           bool // addr is its own still
	step           Step
	arch           uint16
	class, duid    text
	giaddr, addr   addr16
	first, last    int64
	boot           boot
	circuit        string
	remote         string
	hostname       string
	events         []past
	leases         []grant
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

// head unpacks what costs little.
func (r *record) head() Head {
	h := Head{MAC: r.mac, Known: r.known, Step: r.step, Last: time.Unix(0, r.last), Tries: int(r.boot.tries)}
	if r.step != NoStep {
		h.StepAt, h.Trying = r.boot.came(r.step), time.Unix(0, r.boot.trying())
	}
	return h
}
