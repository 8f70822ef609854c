// Package record keeps the last packets of a server with what became of them, in
// memory of a fixed size, and writes and reads them as packet captures. It knows
// neither machines nor what a message says.
package record

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Shared is the name by which a packet loop finds the ring of its process.
const Shared = "recorder"

// Bounds of what is kept of one exchange beside its octets.
const (
	maxDecisions = 8
	maxText      = 1000 // octets of a reason
	maxWord      = 100  // octets of a name or a verdict
)

// An Exchange is a datagram that came, and what became of it.
type Exchange struct {
	Time      time.Time
	Interface Interface      // that it came in by
	From, To  netip.AddrPort // invalid: not told
	V6        bool           // it came to a socket of DHCPv6
	Request   []byte         // as it came

	Replied            time.Time      // zero: no reply
	ReplyFrom, ReplyTo netip.AddrPort // invalid: the kernel chose
	Reply              []byte         // as it was sent; nil: none

	Decisions []Decision // in the order in which they were made
}

// An Interface is where a datagram came in.
type Interface struct {
	Name     string         // empty: not told
	Networks []netip.Prefix // its addresses with their prefix lengths; not to be written to
}

func (i Interface) equal(other Interface) bool {
	return i.Name == other.Name && slices.Equal(i.Networks, other.Networks)
}

// size is the memory that an interface takes, or a little less than that.
func (i Interface) size() int { return 64 + len(i.Name) + 32*len(i.Networks) }

// A Decision is what a plugin, or the packet loop, made of a request.
type Decision struct {
	Plugin  string
	Verdict string
	Reason  string // may be empty
}

// String is a decision as a line of a log has it.
func (d Decision) String() string {
	text := d.Plugin + ": " + d.Verdict
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	return text
}

// Decide notes a decision.
func (x *Exchange) Decide(plugin, verdict, reason string) {
	if len(x.Decisions) < maxDecisions {
		x.Decisions = append(x.Decisions, Decision{clip(plugin, maxWord), clip(verdict, maxWord), clip(reason, maxText)})
	}
}

// clip shortens a text to so many octets.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// comment is what the file says of a request.
func (x *Exchange) comment() string {
	lines := make([]string, 0, len(x.Decisions))
	for _, d := range x.Decisions {
		lines = append(lines, strings.ToValidUTF8(d.String(), "?"))
	}
	return strings.Join(lines, "\n")
}

// append appends an exchange without its interface.
func (x *Exchange) append(to []byte) []byte {
	to = binary.LittleEndian.AppendUint64(to, uint64(x.Time.UnixNano()))
	replied := int64(0)
	if !x.Replied.IsZero() {
		replied = x.Replied.UnixNano()
	}
	to = binary.LittleEndian.AppendUint64(to, uint64(replied))
	to = append(to, flag(x.V6), flag(x.Reply != nil))
	for _, a := range [...]netip.AddrPort{x.From, x.To, x.ReplyFrom, x.ReplyTo} {
		size := len(to)
		to, _ = a.AppendBinary(append(to, 0)) // it has no error
		to[size] = byte(len(to) - size - 1)
	}
	to = appendOctets(to, x.Request)
	to = appendOctets(to, x.Reply)
	to = append(to, byte(len(x.Decisions)))
	for _, d := range x.Decisions {
		to = appendOctets(appendOctets(appendOctets(to, d.Plugin), d.Verdict), d.Reason)
	}
	return to
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

func appendOctets[T ~string | ~[]byte](to []byte, octets T) []byte {
	return append(binary.AppendUvarint(to, uint64(len(octets))), octets...)
}

// parse reads what append wrote. The octets of the messages are parts of b.
func (x *Exchange) parse(b []byte) {
	p := parser(b)
	x.Time, x.Replied = time.Unix(0, p.number()), time.Time{}
	if replied := p.number(); replied != 0 {
		x.Replied = time.Unix(0, replied)
	}
	x.V6 = p.take(1)[0] == 1
	answered := p.take(1)[0] == 1
	for _, a := range [...]*netip.AddrPort{&x.From, &x.To, &x.ReplyFrom, &x.ReplyTo} {
		_ = a.UnmarshalBinary(p.take(int(p.take(1)[0]))) // append wrote it
	}
	x.Request, x.Reply = p.octets(), p.octets()
	if !answered {
		x.Reply = nil
	}
	x.Decisions = x.Decisions[:0]
	for range p.take(1)[0] {
		x.Decisions = append(x.Decisions, Decision{string(p.octets()), string(p.octets()), string(p.octets())})
	}
}

// A parser is what was not read yet of what append wrote.
type parser []byte

func (p *parser) take(n int) []byte {
	taken := (*p)[:n:n]
	*p = (*p)[n:]
	return taken
}

func (p *parser) number() int64 { return int64(binary.LittleEndian.Uint64(p.take(8))) }

func (p *parser) octets() []byte {
	n, size := binary.Uvarint(*p)
	p.take(size)
	return p.take(int(n))
}
