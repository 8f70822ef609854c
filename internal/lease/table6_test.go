//go:build cgo

package lease

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// options6 has a pool of 2^64 addresses.
func options6(c *clock) Options {
	o := options(c)
	o.Pools = []Range{span("2001:db8::1:0:0:0:0", "2001:db8::1:ffff:ffff:ffff:ffff")}
	return o
}

// An identity association is a client; that its machine is known by a MAC at
// one time and not at another is the same client.
func TestClientOfDHCPv6(t *testing.T) {
	t.Parallel()
	tab := inMemory(t, options6(newClock()), nil)
	clients := []Client{duid(0), duid(1), duid(3)}
	if clients[0].DUID != clients[1].DUID || clients[0].DUID == clients[2].DUID {
		t.Fatal("the kit's clients are others")
	}
	for i := range clients {
		clients[i].MAC = mac(7).MAC
	}
	want := []netip.Addr{ip("2001:db8:0:1::"), ip("2001:db8:0:1::1"), ip("2001:db8:0:1::2")}
	for i, c := range clients {
		if got := dora(t, tab, c, 0); got != want[i] {
			t.Errorf("client %d gets %v, want %v", i, got, want[i])
		}
	}
	for i, c := range clients {
		c.MAC = MAC{}
		if got := addr(t, tab, c, 0); got != want[i] {
			t.Errorf("client %d gets %v without a MAC, want %v", i, got, want[i])
		}
	}
	if n := tab.Stats()[0]; n.Leased != 3 || n.Size != 1<<64-1 {
		t.Errorf("%+v, want three leased of 2^64-1 or more", n)
	}
	if c := clients[2]; !tab.Release(c, want[2]) || tab.Release(c, want[2]) {
		t.Error("an address is not to be released once")
	}
}

const allRows6 = "select typeof(duid)||typeof(iaid)||typeof(mac)||typeof(ip)||typeof(expiry)||typeof(hostname)||' '||duid||' '||iaid||' '||mac||' '||ip||' '||expiry||' '||hostname from leases6 order by expiry, duid, iaid"

func TestReopen6(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db-v6")
	c := newClock()
	tab, problems := on(t, path, options6(c))
	with := duid(0)
	with.MAC = mac(1).MAC
	a, b, gone := dora(t, tab, with, 0), dora(t, tab, duid(1), 0), dora(t, tab, duid(4), 0)
	tab.Release(duid(4), gone)
	if err := tab.Close(); err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	const types = "texttexttexttextintegertext "
	at := fmt.Sprint(c.Now().Unix() + 61)
	want := []string{
		types + "000400000000 00000000 02:00:00:00:00:01 2001:db8:0:1:: " + at + " host",
		types + "000400000000 00000001  2001:db8:0:1::1 " + at + " host",
	}
	if d := cmp.Diff(want, column(t, path, allRows6)); d != "" {
		t.Errorf("the file (-want +got):\n%s", d)
	}
	tab, problems = on(t, path, options6(c))
	l, ok := tab.Held(duid(0))
	if !ok || l.Addr != a || l.Client != with || len(problems) > 0 {
		t.Errorf("%+v %v, want %v of %+v; %v", l, ok, a, with, problems)
	}
	if got := addr(t, tab, duid(1), 0); got != b {
		t.Errorf("%v, had %v", got, b)
	}
	if got := addr(t, tab, duid(5), 0); got != gone {
		t.Errorf("a stranger gets %v, want the released %v", got, gone)
	}
}

func TestTakeOver6(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db-v6")
	c := newClock()
	at := fmt.Sprint(c.Now().Unix() + 50)
	row := func(duid, iaid, mac, ip string) string {
		return fmt.Sprintf("insert into leases6 values (%s, %s, %s, %s, %s, '')", duid, iaid, mac, ip, at)
	}
	run(t, path,
		"create table leases6 (duid, iaid, mac, ip, expiry, hostname)",
		row("'0004AB'", "'00000001'", "''", "'2001:db8:0:1::5'"),
		row("'0004ab'", "'00000001'", "''", "'2001:db8:0:1::6'"),
		row("'zz'", "'00000001'", "''", "'2001:db8:0:1::7'"),
		row("'0004ac'", "'001'", "''", "'2001:db8:0:1::8'"),
		row("'0004ad'", "'00000001'", "'x'", "'2001:db8:0:1::9'"),
		row("''", "'00000001'", "''", "'2001:db8:0:1::a'"),
		row("'0004ae'", "'00000001'", "''", "'192.0.2.1'"),
		row("null", "null", "null", "null"))
	tab, problems := on(t, path, options6(c))
	var texts []string
	for _, p := range problems {
		texts = append(texts, strings.TrimPrefix(p.Text, fmt.Sprintf("lease file %q holds a ", path)))
	}
	line := func(duid, iaid, mac, ip string) string {
		return fmt.Sprintf(`row duid=%q iaid=%q mac=%q ip=%q expiry=%q hostname=""`, duid, iaid, mac, ip, at)
	}
	want := []string{
		line("zz", "00000001", "", "2001:db8:0:1::7") + `, which is left out: duid "zz", iaid "00000001": want octets in hex, four of the iaid`,
		line("0004ac", "001", "", "2001:db8:0:1::8") + `, which is left out: duid "0004ac", iaid "001": want octets in hex, four of the iaid`,
		line("0004ad", "00000001", "x", "2001:db8:0:1::9") + `, which is left out: mac "x": want six octets such as 02:00:00:00:00:01`,
		line("", "00000001", "", "2001:db8:0:1::a") + `, which is left out: duid "", iaid "00000001": want octets in hex, four of the iaid`,
		`row mac="" ip="" expiry="` + at + `" hostname="", which is left out: mac "": want six octets such as 02:00:00:00:00:01`,
		line("0004ab", "00000001", "", "2001:db8:0:1::6") + `, which is left out for the sake of the ` + line("0004ab", "00000001", "", "2001:db8:0:1::5"),
		line("0004ae", "00000001", "", "192.0.2.1") + ` outside today's pools, which is left out`,
	}
	if d := cmp.Diff(want, texts); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
	if l, ok := tab.Held(Client{DUID: "\x00\x04\xab", IAID: [4]byte{0, 0, 0, 1}}); !ok || l.Addr != ip("2001:db8:0:1::5") {
		t.Errorf("%v %v", l, ok)
	}
}

// One file has the leases of one family.
func TestOneFamily(t *testing.T) {
	t.Parallel()
	o := options(newClock())
	o.Pools = append(o.Pools, span("2001:db8::1", "2001:db8::2"))
	_, _, err := Open(filepath.Join(t.TempDir(), "leases.db"), o)
	const want = "pool 2001:db8::1-2001:db8::2 is of another family than pool 192.0.2.10-192.0.2.19: want a file of its own for each family"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// Whoever sends new DUIDs gets through any pool, but not through the memory:
// of addresses that are not held any more so many are remembered, the others
// are given out again, the one that was unused longest first.
func TestRemembered(t *testing.T) {
	t.Parallel()
	c := newClock()
	tab := inMemory(t, options6(c), nil)
	for i := range remembered + 1 {
		addr(t, tab, duid(i), 0)
		if i%1000 == 0 {
			c.move(time.Second)
		}
	}
	c.move(time.Hour)
	tab.Stats() // ends all offers, a packet only some
	peeked, _ := tab.Peek(duid(1<<20), 0)
	got := addr(t, tab, duid(1<<20), 0)
	if want := ip("2001:db8:0:1::"); got != want || peeked.Addr != want {
		t.Errorf("a stranger gets %v and is shown %v, want %v", got, peeked.Addr, want)
	}
	for i := range remembered {
		addr(t, tab, duid(1<<21+i), 0)
		if i%1000 == 0 {
			c.move(20 * time.Second)
		}
	}
	if got := len(tab.pools[0].slots); got > remembered+2*1000 {
		t.Errorf("%d addresses in memory", got)
	}
}
