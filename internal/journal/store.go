package journal

import (
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"time"
)

// maxText bounds what is kept of a text that a client wrote.
const maxText = 64

// A store is the machines, packed. It is not safe for several goroutines.
type store struct {
	limit    int
	machines map[MAC]*record
	addrs    map[addr16]*record // by the address last given
	texts    texts
	words    words
	known    list
	strange  list
	news     news
}

func newStore(limit int) store {
	return store{limit: limit, machines: make(map[MAC]*record), addrs: make(map[addr16]*record), texts: newTexts(), words: newWords()}
}

// note enters an event.
func (s *store) note(e *Event) {
	r := s.record(e.MAC, e.Known, e.At.UnixNano())
	at := e.At.UnixNano()
	r.last = max(r.last, at)
	if e.Kind == Exchange {
		s.see(r, &e.Shown)
	}
	if step := r.advance(e); step != r.step {
		r.boot.come(r.step, step, at)
		r.step = step
	}
	if e.Leased && e.Addr.IsValid() {
		s.own(r, pack(e.Addr))
	}
	s.lease(r, e)
	s.news.add(r, e)
	s.remember(r, s.pack(r, e), at)
}

// record returns that of a machine, the last of its list from now on.
func (s *store) record(mac MAC, known bool, at int64) *record {
	r := s.machines[mac]
	if r == nil {
		s.makeRoom()
		r = &record{mac: mac, first: at, known: known}
		s.machines[mac] = r
		s.listOf(r).push(r)
		return r
	}
	s.listOf(r).drop(r)
	r.known = known
	s.listOf(r).push(r)
	return r
}

func (s *store) listOf(r *record) *list {
	if r.known {
		return &s.known
	}
	return &s.strange
}

// makeRoom forgets the machine that was not heard for the longest time. A
// storm of strangers does not make the others forgotten.
func (s *store) makeRoom() {
	if len(s.machines) < s.limit {
		return
	}
	from := &s.known
	if s.strange.n >= s.limit/unknownPart || from.n == 0 {
		from = &s.strange
	}
	r := from.oldest
	from.drop(r)
	delete(s.machines, r.mac)
	if r.owns {
		delete(s.addrs, r.addr)
	}
	s.texts.drop(r.class)
	s.texts.drop(r.duid)
	for i := range r.events {
		s.release(&r.events[i])
	}
}

func (s *store) see(r *record, seen *Shown) {
	r.giaddr = pack(seen.Giaddr)
	take := func(to *string, octets []byte) {
		if octets = octets[:min(len(octets), maxText)]; string(octets) != *to {
			*to = string(octets)
		}
	}
	take(&r.circuit, seen.Circuit)
	take(&r.remote, seen.Remote)
	if len(seen.Hostname) > 0 {
		take(&r.hostname, seen.Hostname)
	}
	if class := seen.Class[:min(len(seen.Class), maxText)]; len(class) > 0 && string(class) != s.texts.get(r.class) {
		class := s.texts.put(string(class))
		s.texts.drop(r.class)
		r.class = class
	}
	if seen.DUID != nil {
		s.identify(r, seen.DUID.ToBytes())
	}
	if seen.HasArch {
		r.arch, r.hasArch = seen.Arch, true
	}
}

// own notes that an address is a machine's now.
func (s *store) own(r *record, a addr16) {
	if r.owns && r.addr == a {
		return
	}
	if r.owns {
		delete(s.addrs, r.addr)
	}
	if before := s.addrs[a]; before != nil {
		before.owns = false
	}
	r.addr, r.owns = a, true
	s.addrs[a] = r
}

// macOctet stands for the machine's own MAC in a boot file's name: a site then
// has one script's URL, not one a machine.
const macOctet = "\x00"

func (s *store) pack(r *record, e *Event) past {
	p := past{
		first: e.At.UnixNano(), times: 1, kind: e.Kind, addr: pack(e.Addr),
		octets: uint32(min(max(e.Octets, 0), 1<<32-1)),
		plugin: s.words.put(e.Plugin), message: s.words.put(e.Message), state: s.words.put(e.State), verdict: s.words.put(e.Verdict),
		rule: s.texts.put(e.Rule),
	}
	file := e.Bootfile
	if strings.Contains(file, "://") {
		file = strings.ReplaceAll(file, net.HardwareAddr(r.mac[:]).String(), macOctet)
	}
	p.bootfile = s.texts.put(file)
	p.reason = s.texts.put(e.why())
	return p
}

func (s *store) release(p *past) {
	s.texts.drop(p.reason)
	s.texts.drop(p.bootfile)
	s.texts.drop(p.rule)
}

// remember adds an event, to one that tells the same if a machine did that a
// moment ago, or in the place of its oldest.
func (s *store) remember(r *record, p past, at int64) {
	const look = 4 // a handshake of firmware, with a plugin that passed it on
	for i := len(r.events) - 1; i >= 0 && i >= len(r.events)-look; i-- {
		if o := &r.events[i]; o.same(&p) {
			s.release(&p)
			o.times = min(o.times+1, 1<<32-2)
			o.later = uint32(min(max(at-o.first, 0)/int64(tick), 1<<32-1))
			o.octets = p.octets
			again := *o
			copy(r.events[i:], r.events[i+1:])
			r.events[len(r.events)-1] = again
			return
		}
	}
	if len(r.events) == Events {
		s.release(&r.events[0])
		copy(r.events, r.events[1:])
		r.events[Events-1] = p
		return
	}
	if len(r.events) == cap(r.events) {
		r.events = append(make([]past, 0, min(Events, max(2, 2*cap(r.events)))), r.events...)
	}
	r.events = append(r.events, p)
}

// latest returns all machines, the one heard last first.
func (s *store) latest() []MAC {
	macs := make([]MAC, 0, len(s.machines))
	a, b := s.known.newest, s.strange.newest
	for a != nil || b != nil {
		if b == nil || a != nil && a.last >= b.last {
			macs, a = append(macs, a.mac), a.older
		} else {
			macs, b = append(macs, b.mac), b.older
		}
	}
	return macs
}

// show unpacks a record.
func (s *store) show(r *record) Machine {
	m := Machine{
		Head: r.head(), First: time.Unix(0, r.first), Addr: r.addr.addr(), Boot: r.boot.show(), Giaddr: r.giaddr.addr(),
		Circuit: printable(r.circuit), Remote: printable(r.remote), Class: printable(s.texts.get(r.class)), Hostname: printable(r.hostname),
		Arch: r.arch, HasArch: r.hasArch,
	}
	for i := range r.events {
		m.Events = append(m.Events, s.unpack(r, &r.events[i]))
	}
	slices.SortStableFunc(m.Events, func(a, b Past) int { return a.Last.Compare(b.Last) })
	return m
}

func (s *store) unpack(r *record, p *past) Past {
	file := strings.ReplaceAll(s.texts.get(p.bootfile), macOctet, net.HardwareAddr(r.mac[:]).String())
	return Past{
		First: time.Unix(0, p.first), Last: time.Unix(0, p.last()), Times: int(p.times), Kind: p.kind,
		Plugin: s.words.get(p.plugin), Message: s.words.get(p.message), State: s.words.get(p.state), Verdict: s.words.get(p.verdict),
		Reason: printable(s.texts.get(p.reason)), Addr: p.addr.addr(), Bootfile: printable(file), Rule: s.texts.get(p.rule), Octets: int64(p.octets),
	}
}

// printable returns what a client wrote: as text where it is plain ASCII, else
// in hex behind 0x.
func printable(text string) string {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return "0x" + hex.EncodeToString([]byte(text))
		}
	}
	return text
}
