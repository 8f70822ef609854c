package lease

import "testing"

func FuzzRow(f *testing.F) {
	f.Add("", "", "02:00:00:00:00:01", "192.0.2.1", "1700000000", "x3000c0s0b0")
	f.Add("", "", "02-00-00-00-00-0A", "::ffff:192.0.2.1", "0", "")
	f.Add("", "", "0200.0000.0001", "2001:db8::1", "-1", "\x00\xff")
	f.Add("", "", "02:00:00:00:00:00:00:01", "fe80::1%eth0", "9223372036854775808", "a'b")
	f.Add("0003000102", "00000001", "", "2001:db8::1", "1700000000", "x3000c0s0b0")
	f.Add("0003000102", "000001", "02:00:00:00:00:01", "2001:db8::1", "1", "")
	f.Add("", "00000001", "zz", "192.0.2.300", "1e9", "h")
	f.Fuzz(func(t *testing.T, duid, iaid, mac, ip, expiry, hostname string) {
		r, err := parseRow(rawRow{duid, iaid, mac, ip, expiry, hostname})
		if err != nil {
			return
		}
		if !r.addr.IsValid() || r.addr.Is4In6() || r.expiry < 0 || r.hostname != hostname {
			t.Errorf("parsed as %+v", r)
		}
		again, err := parseRow(r.raw())
		if err != nil || again != r {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}
