package main

import (
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/google/go-cmp/cmp"
)

// TestLeases has the whole of a list with all that can be in it.
func TestLeases(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	const pool = "192.0.2.200-192.0.2.209"
	a := &status.Leases{
		Leases: []status.Lease{
			{Address: "192.0.2.11", Kind: "known", State: "bound", Since: now.Add(-51 * time.Hour), Expires: now.Add(59*time.Minute + 59*time.Second), MAC: "02:00:00:00:00:01", ID: "x3000c0s0b0n0", Hostname: "nid0001"},
			{Address: "192.0.2.12", Kind: "known", State: "expired", Since: now.Add(-59 * time.Second), Expires: now.Add(-59 * time.Second), MAC: "02:00:00:00:00:02", ID: "x3000c0s1b0n0", Hostname: "nid0002"},
			{Address: "192.0.2.13", Kind: "known", State: "none", MAC: "02:00:00:00:00:03", ID: "x3000c0s2b0n0", Hostname: "nid0003"},
			{Address: "192.0.2.200", Kind: "temporary", State: "declined", Since: now.Add(-time.Minute), Expires: now.Add(9 * time.Minute), MAC: "02:00:00:00:00:99", Hostname: "evil\x1b[31m", Pool: pool},
			{Address: "2001:db8::1000", Kind: "temporary", State: "bound", Expires: now.Add(25 * time.Hour), DUID: "00:04:00:07", Pool: "2001:db8::1000-2001:db8::1fff"},
		},
		Total: 7,
		Counts: []status.LeaseCount{
			{Kind: "known", State: "bound", Leases: 3},
			{Kind: "known", State: "expired", Leases: 1},
			{Kind: "known", State: "none", Leases: 1},
			{Kind: "temporary", State: "bound", Leases: 1},
			{Kind: "temporary", State: "declined", Leases: 1},
		},
		Since: now.Add(-51 * time.Hour),
		Pools: []status.Pool{
			{Range: pool, Network: "192.0.2.0/24", Size: 10, Leased: 3, Offered: 2, Quarantined: 1, Taken: 1},
			{Range: "2001:db8::1000-2001:db8::1fff", Size: 4096, Leased: 1},
		},
	}
	for name, c := range map[string]struct {
		colour bool
		a      *status.Leases
		want   string
	}{
		"plain": {false, a, `STATE     ADDRESS         AGE    LEFT    KIND       MACHINE        HOSTNAME      MAC                DUID
bound     192.0.2.11      2d03h  59m     known      x3000c0s0b0n0  nid0001       02:00:00:00:00:01
expired   192.0.2.12      59s    0s      known      x3000c0s1b0n0  nid0002       02:00:00:00:00:02
none      192.0.2.13                     known      x3000c0s2b0n0  nid0003       02:00:00:00:00:03
declined  192.0.2.200     1m     9m      temporary                 evil\x1b[31m  02:00:00:00:00:99
bound     2001:db8::1000         25h00m  temporary                                                  00:04:00:07
POOL                           NETWORK       SIZE  USED  LEASED  OFFERED  DECLINED  TAKEN
192.0.2.200-192.0.2.209        192.0.2.0/24  10    70%   3       2        1         1
2001:db8::1000-2001:db8::1fff                4096  0%    1       0        0         0
and 2 more
known since the start 2 days ago: 3 bound, 1 expired, 1 none
temporary: 1 bound, 1 declined
`},
		"coloured": {true, &status.Leases{Leases: a.Leases[1:2], Total: 1, Since: now, Counts: a.Counts[1:2]}, "\x1b[1mSTATE\x1b[0m    \x1b[1mADDRESS\x1b[0m     \x1b[1mAGE\x1b[0m  \x1b[1mLEFT\x1b[0m  \x1b[1mKIND\x1b[0m   \x1b[1mMACHINE\x1b[0m        \x1b[1mHOSTNAME\x1b[0m  \x1b[1mMAC\x1b[0m                \x1b[1mDUID\x1b[0m\n" +
			"\x1b[33mexpired\x1b[0m  192.0.2.12  59s  0s    known  x3000c0s1b0n0  nid0002   02:00:00:00:00:02\n" +
			"known since the start just now: 1 expired\n"},
		"nothing": {false, &status.Leases{}, "no leases\n"},
	} {
		p := &page{colour: c.colour}
		p.leases(c.a, now)
		p.pools(c.a.Pools)
		p.leaseCounts(c.a, now)
		if diff := cmp.Diff(c.want, p.text.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
