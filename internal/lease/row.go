package lease

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// rawRow is a row of leases4 as text, whatever the types of its values. NULL
// is the empty text.
type rawRow struct{ mac, ip, expiry, hostname string }

func (r rawRow) String() string {
	return fmt.Sprintf("row mac=%q ip=%q expiry=%q hostname=%q", r.mac, r.ip, r.expiry, r.hostname)
}

// row is a lease as the file holds it.
type row struct {
	mac      MAC
	addr     netip.Addr
	expiry   int64 // Unix seconds
	hostname string
}

// raw is the inverse of parseRow, in the form that CoreDHCP's range plugin
// writes and reads.
func (r row) raw() rawRow {
	return rawRow{formatMAC(r.mac), r.addr.String(), strconv.FormatInt(r.expiry, 10), r.hostname}
}

func formatMAC(m MAC) string { return net.HardwareAddr(m[:]).String() }

// parseRow accepts a MAC in any spelling of net.ParseMAC with six octets, a
// plain address and an expiry not before 1970. The hostname is any text.
func parseRow(raw rawRow) (row, error) {
	hw, err := net.ParseMAC(raw.mac)
	if err != nil || len(hw) != len(MAC{}) {
		return row{}, fmt.Errorf("mac %q: want six octets such as 02:00:00:00:00:01", raw.mac)
	}
	addr, err := netip.ParseAddr(raw.ip)
	if err != nil || addr.Zone() != "" {
		return row{}, fmt.Errorf("ip %q: want an address such as 192.0.2.1", raw.ip)
	}
	expiry, err := strconv.ParseInt(raw.expiry, 10, 64)
	if err != nil || expiry < 0 {
		return row{}, fmt.Errorf("expiry %q: want seconds since 1970", raw.expiry)
	}
	return row{MAC(hw), addr.Unmap(), expiry, raw.hostname}, nil
}

// unixCeil is the whole second at or after the end, so that the file never
// ends a lease before the table does.
func unixCeil(end time.Time) int64 {
	if end.Nanosecond() > 0 && end.Unix() < math.MaxInt64 {
		return end.Unix() + 1
	}
	return end.Unix()
}
