package lease

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// rawRow is a row of the file as text, whatever the types of its values. NULL
// is the empty text. A row of leases4 has neither DUID nor IAID.
type rawRow struct{ duid, iaid, mac, ip, expiry, hostname string }

func (r rawRow) String() string {
	client := ""
	if r.duid != "" || r.iaid != "" {
		client = fmt.Sprintf("duid=%q iaid=%q ", r.duid, r.iaid)
	}
	return fmt.Sprintf("row %smac=%q ip=%q expiry=%q hostname=%q", client, r.mac, r.ip, r.expiry, r.hostname)
}

// row is a lease as the file holds it.
type row struct {
	client   Client
	addr     netip.Addr
	expiry   int64 // Unix seconds
	hostname string
}

// raw is the inverse of parseRow, in the form that CoreDHCP's range plugin
// writes and reads.
func (r row) raw() rawRow {
	raw := rawRow{mac: formatMAC(r.client.MAC), ip: r.addr.String(), expiry: strconv.FormatInt(r.expiry, 10), hostname: r.hostname}
	if r.client.DUID != "" {
		raw.duid, raw.iaid = hex.EncodeToString([]byte(r.client.DUID)), hex.EncodeToString(r.client.IAID[:])
	}
	if r.client.DUID != "" && r.client.MAC == (MAC{}) {
		raw.mac = ""
	}
	return raw
}

// parseRow accepts a MAC in any spelling of net.ParseMAC with six octets, a
// plain address and an expiry not before 1970. The hostname is any text. With
// a DUID there is an IAID, both in hex, and there may be no MAC.
func parseRow(raw rawRow) (row, error) {
	client, err := parseClient(raw)
	if err != nil {
		return row{}, err
	}
	addr, err := netip.ParseAddr(raw.ip)
	if err != nil || addr.Zone() != "" {
		return row{}, fmt.Errorf("ip %q: want an address such as 192.0.2.1", raw.ip)
	}
	expiry, err := strconv.ParseInt(raw.expiry, 10, 64)
	if err != nil || expiry < 0 {
		return row{}, fmt.Errorf("expiry %q: want seconds since 1970", raw.expiry)
	}
	return row{client, addr.Unmap(), expiry, raw.hostname}, nil
}

func parseClient(raw rawRow) (Client, error) {
	duid, err1 := hex.DecodeString(raw.duid)
	iaid, err2 := hex.DecodeString(raw.iaid)
	if err := errors.Join(err1, err2); err != nil || (len(duid) > 0) != (len(iaid) == 4) || len(duid) == 0 && len(iaid) > 0 {
		return Client{}, fmt.Errorf("duid %q, iaid %q: want octets in hex, four of the iaid", raw.duid, raw.iaid)
	}
	c := Client{DUID: string(duid)}
	copy(c.IAID[:], iaid)
	hw, err := net.ParseMAC(raw.mac)
	switch {
	case err == nil && len(hw) == len(MAC{}):
		c.MAC = MAC(hw)
	case c.DUID == "" || raw.mac != "":
		return Client{}, fmt.Errorf("mac %q: want six octets such as 02:00:00:00:00:01", raw.mac)
	}
	return c, nil
}

// unixCeil is the whole second at or after the end, so that the file never
// ends a lease before the table does.
func unixCeil(end time.Time) int64 {
	if end.Nanosecond() > 0 && end.Unix() < math.MaxInt64 {
		return end.Unix() + 1
	}
	return end.Unix()
}
