package server

import "github.com/insomniacslk/dhcp/dhcpv4"

// A pair4 is a request and room for its reply.
type pair4 struct{ request, reply dhcpv4.DHCPv4 }

const (
	slabPairs  = 32
	slabOctets = 16 << 10
)

// A slab4 is memory for messages, taken from the heap many at a time. A plugin may
// keep a message as long as it likes: that keeps the messages beside it, too.
type slab4 struct {
	pairs  []pair4
	octets []byte
}

func (s *slab4) pair() *pair4 {
	if len(s.pairs) == 0 {
		s.pairs = make([]pair4, slabPairs)
	}
	p := &s.pairs[0]
	s.pairs = s.pairs[1:]
	return p
}

// clone returns a copy of octets.
func (s *slab4) clone(octets []byte) []byte {
	if len(octets) > cap(s.octets)-len(s.octets) {
		s.octets = make([]byte, 0, max(slabOctets, len(octets)))
	}
	from := len(s.octets)
	s.octets = append(s.octets, octets...)
	return s.octets[from:len(s.octets):len(s.octets)]
}
