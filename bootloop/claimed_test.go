package bootloop

import (
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestClaimed has SMD assign addresses of the pool: they are not handed out,
// and a stranger that has one is moved to another at its next packet.
func TestClaimed(t *testing.T) {
	t.Parallel()
	for _, renew := range []string{"nak", "ack"} {
		b := newBench(t, "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.202 renew="+renew)
		var claimed atomic.Value
		claimed.Store("192.0.2.200")
		b.p.Claim(func(a netip.Addr) bool { return a.String() == claimed.Load() })
		got := []string{b.dora(one)} // not 200, which SMD assigns
		claimed.Store("192.0.2.201") // now SMD assigns what the stranger has
		got = append(got,
			b.say(one, request, ciaddr("192.0.2.201")),
			b.say(one, request, requested("192.0.2.201")),
			b.dora(one),
			b.say(two, discover), // and nobody else gets it
		)
		claimed.Store("192.0.2.202") // an offer that SMD took meanwhile
		got = append(got, b.say(one, request, server(self), requested("192.0.2.202")))
		want := []string{"ACK 192.0.2.201", "NAK", "NAK", "ACK 192.0.2.202", "silence", "NAK"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("renew=%s (-want +got):\n%s", renew, diff)
		}
	}
}
