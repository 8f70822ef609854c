package lease

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestCheckPools(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pools []Range
		want  []string // parts of the error, none for none
	}{
		"one address":   {pools: []Range{span("192.0.2.1", "192.0.2.1")}},
		"neighbours":    {pools: []Range{span("192.0.2.8", "192.0.2.9"), span("192.0.2.1", "192.0.2.7")}},
		"both families": {pools: []Range{span("192.0.2.1", "192.0.2.2"), span("2001:db8::1", "2001:db8::2")}},
		"none":          {want: []string{"no pool"}},
		"backwards":     {pools: []Range{span("192.0.2.2", "192.0.2.1")}, want: []string{"pool 192.0.2.2-192.0.2.1 runs backwards"}},
		"overlap":       {pools: []Range{span("192.0.2.5", "192.0.2.9"), span("192.0.2.1", "192.0.2.5")}, want: []string{"pool 192.0.2.1-192.0.2.5 overlaps pool 192.0.2.5-192.0.2.9"}},
		"inside":        {pools: []Range{span("192.0.2.1", "192.0.2.9"), span("192.0.2.2", "192.0.2.3"), span("192.0.2.5", "192.0.2.6")}, want: []string{"overlaps pool 192.0.2.2-", "overlaps pool 192.0.2.5-"}},
		"the same":      {pools: []Range{span("192.0.2.1", "192.0.2.2"), span("192.0.2.1", "192.0.2.2")}, want: []string{"overlaps"}},
		"mixed":         {pools: []Range{span("192.0.2.1", "2001:db8::1")}, want: []string{"different families"}},
		"no address":    {pools: []Range{{}}, want: []string{"want two addresses"}},
		"zone":          {pools: []Range{span("fe80::1%eth0", "fe80::2%eth0")}, want: []string{"zone"}},
		"all mistakes":  {pools: []Range{{}, span("192.0.2.2", "192.0.2.1")}, want: []string{"want two", "runs backwards"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := checkPools(tt.pools)
			if (err != nil) != (tt.want != nil) {
				t.Fatalf("got %v", err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v lacks %q", err, part)
				}
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]Options{
		"no lease time":     {},
		"negative offer":    {LeaseTime: time.Minute, OfferTime: -1},
		"negative decline":  {LeaseTime: time.Minute, DeclineTime: -1},
		"negative lifetime": {LeaseTime: -time.Minute},
	} {
		opts.Pools = []Range{span("192.0.2.1", "192.0.2.2")}
		if _, err := newTable(opts); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	tests := map[Range]uint64{
		span("192.0.2.1", "192.0.2.1"):                           1,
		span("10.0.0.0", "10.15.255.255"):                        1 << 20,
		span("0.0.0.0", "255.255.255.255"):                       1 << 32,
		span("2001:db8::", "2001:db8::ffff"):                     1 << 16,
		span("2001:db8::ffff:ffff:ffff:fff0", "2001:db8:0:1::f"): math.MaxUint64,
		span("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"):      math.MaxUint64,
	}
	for r, want := range tests {
		if got := r.size(); got != want {
			t.Errorf("%v: %d, want %d", r, got, want)
		}
	}
}

func TestPoolOf(t *testing.T) {
	t.Parallel()
	opts := options(newClock())
	opts.Pools = []Range{span("198.51.100.1", "198.51.100.2"), span("192.0.2.10", "192.0.2.19"), span("2001:db8::1", "2001:db8::9")}
	tab := inMemory(t, opts, nil)
	tests := map[string]int{
		"192.0.2.9": -1, "192.0.2.10": 1, "192.0.2.19": 1, "192.0.2.20": -1, "::ffff:192.0.2.15": 1,
		"198.51.100.1": 0, "198.51.100.3": -1, "2001:db8::5": 2, "2001:db8::a": -1, "::1": -1, "255.255.255.255": -1,
	}
	for a, want := range tests {
		got, ok := tab.PoolOf(ip(a))
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%s: %d %v, want %d", a, got, ok, want)
		}
	}
}

// The last address of a family has no successor.
func TestCursorAtTheEnd(t *testing.T) {
	t.Parallel()
	opts := options(newClock())
	opts.Pools = []Range{span("255.255.255.254", "255.255.255.255"), span("2001:db8::1", "2001:db8::3")}
	tab := inMemory(t, opts, nil)
	checkFree(t, tab, 0)
	checkFree(t, tab, 1)
}
