package bootloop

import (
	"fmt"
	"slices"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
)

// ofPeer tells whether a client asks for an address that another server with
// our server identifier gives out: that one answers.
func (c *config) ofPeer(ask exchange.Request) bool {
	switch ask.State {
	case exchange.Selecting, exchange.InitReboot, exchange.Renewing:
		return slices.ContainsFunc(c.peerPools, func(r link.Range) bool { return r.Contains(ask.Addr) })
	}
	return false
}

// parsePeerPool reads a range of IPv4 addresses.
func parsePeerPool(text string) (link.Range, error) {
	r, err := link.ParseRange(text)
	if err == nil && !r.First.Is4() {
		err = fmt.Errorf("pool %v is not IPv4", r)
	}
	return r, err
}

// checkPeers finds pools that two servers would give out.
func (c *config) checkPeers() error {
	for _, peer := range c.peerPools {
		for _, r := range c.pools {
			if r.First.Compare(peer.Last) <= 0 && peer.First.Compare(r.Last) <= 0 {
				return fmt.Errorf("peer_pool %v overlaps pool %v; wanted ranges that are split between the servers", peer, link.Range(r))
			}
		}
	}
	return nil
}
