package lease

import "net"

// MAC is a client's hardware address, Ethernet only.
type MAC = [6]byte

// Client is whom an address is leased to. In DHCPv4 that is a MAC. In DHCPv6
// it is an identity association of a DUID (RFC 8415 section 12): a machine may
// ask for several addresses, and its network cards share a DUID, which holds
// the MAC of one of them. The MAC is known there, or it is zero; it does not
// tell clients apart.
type Client struct {
	MAC  MAC
	DUID string // its octets; empty: a client of DHCPv4
	IAID [4]byte
}

// Of returns a client of DHCPv4.
func Of(mac MAC) Client { return Client{MAC: mac} }

// key is the part of a client that tells it from others.
func (c Client) key() Client {
	if c.DUID != "" {
		c.MAC = MAC{}
	}
	return c
}

func formatMAC(m MAC) string { return net.HardwareAddr(m[:]).String() }

// owners leads from clients to their addresses. Those of DHCPv4 are apart: a MAC
// is found four times as fast among a million.
type owners struct {
	macs map[MAC]*slot
	ias  map[Client]*slot
}

func newOwners() owners { return owners{map[MAC]*slot{}, map[Client]*slot{}} }

func (o owners) of(c Client) *slot {
	if c.DUID == "" {
		return o.macs[c.MAC]
	}
	return o.ias[c.key()]
}

func (o owners) set(s *slot) {
	if s.client.DUID == "" {
		o.macs[s.client.MAC] = s
		return
	}
	o.ias[s.client.key()] = s
}

func (o owners) remove(s *slot) {
	if s.client.DUID == "" {
		delete(o.macs, s.client.MAC)
		return
	}
	delete(o.ias, s.client.key())
}
