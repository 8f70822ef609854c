package process

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestShare(t *testing.T) {
	t.Parallel()
	p := New()
	starts := 0
	start := func() (int, error) { starts++; return starts, nil }
	for range 2 {
		if got, err := Share(p, "inventory", "url=a", start); got != 1 || err != nil {
			t.Errorf("%v %v, want the first one", got, err)
		}
	}
	_, err := Share(p, "inventory", "url=b", start)
	if want := "inventory: two directives of one process differ: url=a, and url=b"; err == nil || err.Error() != want {
		t.Errorf("other settings: %v, want %s", err, want)
	}
	broken := errors.New("port in use")
	if _, err := Share(p, "tftp", "", func() (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want the error of start", err)
	}
	if got, ok := Find[int](p, "inventory"); got != 1 || !ok {
		t.Errorf("found %v %v, want the first one", got, ok)
	}
	if got, ok := Find[string](p, "inventory"); ok {
		t.Errorf("found %q, which is of another type", got)
	}
	if got, ok := Find[int](p, "tftp"); ok {
		t.Errorf("found %v, which failed to start", got)
	}
	if got, err := Share(p, "tftp", "", start); got != 2 || err != nil {
		t.Errorf("%v %v: a service that failed to start was kept", got, err)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	p := New()
	ended := false
	p.Go(func(ctx context.Context) { <-ctx.Done(); ended = true })
	p.Stop()
	if !ended {
		t.Error("Stop did not wait")
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	var l Limit
	at := time.Unix(1000, 0)
	got := []bool{l.Allow(at), l.Allow(at.Add(59 * time.Second)), l.Allow(at.Add(60 * time.Second)), l.Allow(at.Add(61 * time.Second))}
	if diff := cmp.Diff([]bool{true, false, true, false}, got); diff != "" {
		t.Error(diff)
	}
	if first, then := l.Held(), l.Held(); first != 2 || then != 0 {
		t.Errorf("%d and %d held back, want 2 and 0", first, then)
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	p := New()
	if _, ok := Find[int](p, "leases"); ok {
		t.Error("nothing was published")
	}
	Publish(p, "leases", 1)
	Publish(p, "leases", 2)
	if v, ok := Find[int](p, "leases"); v != 1 || !ok {
		t.Errorf("%v %v, want the first", v, ok)
	}
	if _, ok := Find[string](p, "leases"); ok {
		t.Error("something of another type")
	}
}

// A process that lives on without its plugins holds nothing of them.
func TestForget(t *testing.T) {
	t.Parallel()
	p := New()
	Publish(p, "leases", 1)
	p.Claim(func(netip.Addr) bool { return true })
	p.Reserve("pool", func(netip.Addr) bool { return true })
	p.Hold(Stake{Yield: func() error { return errors.New("still held") }})
	p.Counter("dhcp", "x_total", "X.")
	p.Stop()
	p.Forget()
	_, leases := Find[int](p, "leases")
	_, pools := p.Reserved()
	families, err := p.Registry.Gather()
	if leases || pools != 0 || p.Claimed(netip.IPv4Unspecified()) || p.Yield() != nil || len(families) != 0 || err != nil {
		t.Errorf("leases %v, %d pools, %d metrics, %v", leases, pools, len(families), err)
	}
}
