package lease

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A client that was made an offer by one table gets its lease from the next.
func TestOffers(t *testing.T) {
	t.Parallel()
	c := newClock()
	old := inMemory(t, options(c), nil)
	held := dora(t, old, mac(1), 0)
	offered := addr(t, old, mac(2), 0)
	c.move(4 * time.Second)
	again := addr(t, old, mac(1), 0)
	offers := old.Offers()
	var shown []string
	for _, o := range offers {
		shown = append(shown, o.Addr.String()+" "+o.Expires.Sub(c.Now()).String())
	}
	if diff := cmp.Diff([]string{held.String() + " 10s", offered.String() + " 6s"}, shown); diff != "" || again != held {
		t.Error(diff)
	}

	next := inMemory(t, options(c), nil)
	taken := dora(t, next, mac(9), 0) // the first address, which is the other's lease there
	next.Restore(offers)
	if _, err := next.Confirm(ctx, mac(2), offered, ""); err != nil {
		t.Error(err)
	}
	if _, err := next.Confirm(ctx, mac(1), held, ""); err == nil || taken != held {
		t.Errorf("two clients have %v", held)
	}
	if got := addr(t, next, mac(3), 0); got == offered || got == held {
		t.Errorf("a new client is offered %v", got)
	}

	late := inMemory(t, options(c), nil)
	c.move(7 * time.Second)
	late.Restore(offers)
	if _, err := late.Confirm(ctx, mac(2), offered, ""); err == nil {
		t.Error("an offer that has ended is confirmed")
	}
	if _, err := late.Confirm(ctx, mac(1), held, ""); err != nil {
		t.Error(err)
	}
}

// The address was somebody's long ago, and so was another one the client's.
func TestOffersOfOldAddresses(t *testing.T) {
	t.Parallel()
	c := newClock()
	old, next := inMemory(t, options(c), nil), inMemory(t, options(c), nil)
	offered := addr(t, old, mac(1), 0)
	if first := dora(t, next, mac(2), 0); first != offered {
		t.Fatal(first, offered)
	}
	dora(t, next, mac(1), 0)
	c.move(time.Hour)
	addr(t, old, mac(1), 0)
	next.Restore(old.Offers())
	if _, err := next.Confirm(ctx, mac(1), offered, ""); err != nil {
		t.Error(err)
	}
	if got := addr(t, next, mac(2), 0); got == offered {
		t.Error("given to two")
	}
}
