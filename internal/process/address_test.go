package process

import (
	"net/netip"
	"testing"
)

func TestClaimed(t *testing.T) {
	t.Parallel()
	p := New()
	a, b := netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("192.0.2.12")
	if p.Claimed(a) {
		t.Error("claimed by nobody")
	}
	p.Claim(func(x netip.Addr) bool { return x == a })
	if !p.Claimed(a) || p.Claimed(b) {
		t.Error("not what was claimed")
	}
}

func TestReserved(t *testing.T) {
	t.Parallel()
	p := New()
	a, b := netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("192.0.2.12")
	before, _ := p.Reserved()
	p.Reserve("pool", func(x netip.Addr) bool { return x == a })
	name, count := p.Reserved()
	if before(a) != "" || name(a) != "pool" || name(b) != "" || count != 1 {
		t.Errorf("%q, %q, %q, %d", before(a), name(a), name(b), count)
	}
}
