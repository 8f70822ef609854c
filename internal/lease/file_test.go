//go:build cgo

package lease

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rangeSchema is what CoreDHCP's range plugin creates.
const rangeSchema = "create table if not exists leases4 (mac string not null, ip string not null, expiry int, hostname string not null, primary key (mac, ip))"

// textSchema is a table of the same columns with the affinity that was meant.
const textSchema = "create table leases4 (mac text not null, ip text not null, expiry int, hostname text not null, primary key (mac, ip))"

// on opens the file on disk for the length of the test.
func on(t testing.TB, path string, opts Options) (*Table, []Problem) {
	t.Helper()
	tab, problems, err := Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tab.Close() })
	return tab, problems
}

// run executes statements as another program would.
func run(t testing.TB, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// column returns the result of a query with one text column.
func column(t testing.TB, path, query string) []string {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
	return got
}

const allRows = "select typeof(mac)||typeof(ip)||typeof(expiry)||typeof(hostname)||' '||mac||' '||ip||' '||expiry||' '||hostname from leases4 order by expiry, mac"

func insert(mac, ip, expiry, hostname string) string {
	return fmt.Sprintf("insert into leases4(mac, ip, expiry, hostname) values (%s, %s, %s, %s)", mac, ip, expiry, hostname)
}

func contains(problems []Problem, part string) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.Text, part) })
}

func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases ?%23#.db")
	c := newClock()
	tab, problems := on(t, path, options(c))
	if len(problems) > 0 {
		t.Error(problems)
	}
	a := dora(t, tab, mac(1), 0)
	gone := dora(t, tab, mac(2), 0)
	expired := dora(t, tab, mac(3), 0)
	addr(t, tab, mac(4), 0)
	tab.Release(mac(2), gone)
	c.move(30 * time.Second)
	tab.Extend(ctx, mac(1), a, "renamed")
	if err := tab.Close(); err != nil {
		t.Fatal(err)
	}
	c.move(40 * time.Second)
	tab, problems = on(t, path, options(c))
	if len(problems) > 0 {
		t.Error(problems)
	}
	l, ok := tab.Held(mac(1))
	if !ok || l.Addr != a || l.Hostname != "renamed" || l.Expires.Sub(c.Now()) > 21*time.Second {
		t.Errorf("lease %v %v", l, ok)
	}
	if got := addr(t, tab, mac(3), 0); got != expired {
		t.Errorf("expired client gets %v, had %v", got, expired)
	}
	if got := addr(t, tab, mac(5), 0); got != gone {
		t.Errorf("new client gets %v, want the released %v: it has no row", got, gone)
	}
}

// Clients at random on a real file, with restarts: every promise is kept.
func TestCrowdReopened(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	path := filepath.Join(t.TempDir(), "leases.db")
	c := newClock()
	w := &crowd{t: t, clock: c}
	promises := make([]Lease, 200)
	for round := range 8 {
		var problems []Problem
		w.tab, problems = on(t, path, modelOptions(c, modelKinds["4"].pools))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		w.check(promises)
		w.round(seed, round, promises)
		w.tab.Close()
		c.move(time.Duration(3*round) * time.Second)
	}
	c.move(time.Hour)
	w.tab, _ = on(t, path, modelOptions(c, modelKinds["4"].pools))
	for p := range modelKinds["4"].pools {
		checkFree(t, w.tab, p)
	}
}

// Least recently used first holds across a restart.
func TestReopenKeepsOrder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	c := newClock()
	tab, _ := on(t, path, options(c))
	first := dora(t, tab, mac(1), 1)
	c.move(2 * time.Second)
	dora(t, tab, mac(2), 1)
	c.move(2 * time.Second)
	tab.Extend(ctx, mac(1), first, "")
	tab.Close()
	c.move(time.Hour)
	tab, _ = on(t, path, options(c))
	if got := addr(t, tab, mac(3), 1); got == first {
		t.Errorf("got %v, which was in use last", got)
	}
}

func TestTakeOver(t *testing.T) {
	t.Parallel()
	c := newClock()
	now := c.Now().Unix()
	at := func(s int64) string { return fmt.Sprint(now + s) }
	tests := map[string]struct {
		before   []string
		held     map[Client]string
		problems []string // parts, one of each
		rows     []string
	}{
		"range plugin": {
			before: []string{rangeSchema, insert("'02:00:00:00:00:01'", "'192.0.2.15'", at(50), "'x3000c0s0b0'"), insert("'02:00:00:00:00:02'", "'192.0.2.11'", at(40), "''")},
			held:   map[Client]string{mac(1): "192.0.2.15", mac(2): "192.0.2.11"},
			rows:   []string{"texttextintegertext 02:00:00:00:00:02 192.0.2.11 " + at(40) + " ", "texttextintegertext 02:00:00:00:00:01 192.0.2.15 " + at(50) + " x3000c0s0b0"},
		},
		"numeric affinity": {
			before: []string{rangeSchema, insert("'02:00:00:00:00:01'", "'192.0.2.15'", at(50), "'1234'"), insert("'02:00:00:00:00:02'", "'192.0.2.11'", "'"+at(40)+"'", "'1e3'")},
			held:   map[Client]string{mac(1): "192.0.2.15", mac(2): "192.0.2.11"},
			rows:   []string{"texttextintegertext 02:00:00:00:00:02 192.0.2.11 " + at(40) + " 1000", "texttextintegertext 02:00:00:00:00:01 192.0.2.15 " + at(50) + " 1234"},
		},
		"text table, other spelling": {
			before: []string{textSchema, insert("'02-00-00-00-00-0A'", "'192.0.2.15'", at(50), "'h'")},
			held:   map[Client]string{mac(10): "192.0.2.15"},
			rows:   []string{"texttextintegertext 02:00:00:00:00:0a 192.0.2.15 " + at(50) + " h"},
		},
		"two rows of a MAC": {
			before:   []string{rangeSchema, insert("'02:00:00:00:00:01'", "'192.0.2.15'", at(50), "''"), insert("'02:00:00:00:00:01'", "'192.0.2.16'", at(55), "''")},
			held:     map[Client]string{mac(1): "192.0.2.16"},
			problems: []string{`ip="192.0.2.15"`},
			rows:     []string{"texttextintegertext 02:00:00:00:00:01 192.0.2.16 " + at(55) + " "},
		},
		"two rows of an address": {
			before:   []string{rangeSchema, insert("'02:00:00:00:00:01'", "'192.0.2.15'", at(50), "''"), insert("'02:00:00:00:00:02'", "'192.0.2.15'", at(45), "''")},
			held:     map[Client]string{mac(1): "192.0.2.15", mac(2): ""},
			problems: []string{`mac="02:00:00:00:00:02"`},
			rows:     []string{"texttextintegertext 02:00:00:00:00:01 192.0.2.15 " + at(50) + " "},
		},
		"inside comes before outside": {
			before:   []string{rangeSchema, insert("'02:00:00:00:00:01'", "'192.0.2.15'", at(50), "''"), insert("'02:00:00:00:00:01'", "'203.0.113.1'", at(55), "''")},
			held:     map[Client]string{mac(1): "192.0.2.15"},
			problems: []string{`ip="203.0.113.1"`},
			rows:     []string{"texttextintegertext 02:00:00:00:00:01 192.0.2.15 " + at(50) + " "},
		},
		"garbage": {
			before: []string{
				"create table leases4 (mac, ip, expiry, hostname)",
				insert("'zz'", "'192.0.2.15'", at(50), "''"), insert("'02:00:00:00:00:00:00:01'", "'192.0.2.16'", at(50), "''"), insert("20000000001", "'192.0.2.16'", at(50), "''"),
				insert("'02:00:00:00:00:02'", "'192.0.2.300'", at(50), "''"), insert("'02:00:00:00:00:03'", "'192.0.2.13'", "'soon'", "''"), insert("'02:00:00:00:00:04'", "'192.0.2.14'", "null", "''"),
				insert("'02:00:00:00:00:05'", "'192.0.2.15'", "-1", "''"), insert("null", "null", "null", "null"), insert("x'0200'", "x'ff'", "1.5", "x'00ff'"),
				insert("'02:00:00:00:00:01'", "'192.0.2.10'", at(50), "null"),
			},
			held: map[Client]string{mac(1): "192.0.2.10", mac(2): "", mac(3): "", mac(4): "", mac(5): ""},
			problems: []string{
				`mac "zz"`, `mac "02:00:00:00:00:00:00:01"`, `mac "20000000001"`, `ip "192.0.2.300"`, `expiry "soon"`, `expiry ""`,
				`expiry "-1"`, `mac ""`, `mac "\x02\x00"`,
			},
			rows: []string{"texttextintegertext 02:00:00:00:00:01 192.0.2.10 " + at(50) + " "},
		},
		"outside today's pools": {
			before:   []string{rangeSchema, insert("'02:00:00:00:00:01'", "'203.0.113.1'", at(50), "''"), insert("'02:00:00:00:00:02'", "'203.0.113.2'", at(-50), "''")},
			held:     map[Client]string{mac(1): "", mac(2): ""},
			problems: []string{`ip="203.0.113.1"`, `ip="203.0.113.2"`},
			rows:     []string{"texttextintegertext 02:00:00:00:00:01 203.0.113.1 " + at(50) + " "},
		},
		"clock stepped": {
			before:   []string{rangeSchema, insert("'02:00:00:00:00:01'", "'192.0.2.15'", "9223372036854775807", "''"), insert("'02:00:00:00:00:02'", "'192.0.2.16'", at(1e8), "''")},
			held:     map[Client]string{mac(1): "192.0.2.15", mac(2): "192.0.2.16"},
			problems: []string{"later than the lease time of 1m0s allows, 2 of them"},
			rows:     []string{"texttextintegertext 02:00:00:00:00:01 192.0.2.15 " + at(61) + " ", "texttextintegertext 02:00:00:00:00:02 192.0.2.16 " + at(61) + " "},
		},
		"another table only": {before: []string{"create table other (x)"}},
		"empty table":        {before: []string{rangeSchema}},
		"write-ahead log":    {before: []string{"pragma journal_mode=wal", rangeSchema, insert("'02:00:00:00:00:01'", "'192.0.2.15'", at(-5), "''")}, held: map[Client]string{mac(1): ""}, rows: []string{"texttextintegertext 02:00:00:00:00:01 192.0.2.15 " + at(-5) + " "}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			path := filepath.Join(t.TempDir(), "leases.db")
			run(t, path, tt.before...)
			tab, problems := on(t, path, options(c))
			if len(problems) != len(tt.problems) {
				t.Errorf("%d problems, want %d: %v", len(problems), len(tt.problems), problems)
			}
			for _, part := range tt.problems {
				if !contains(problems, part) || !contains(problems, path) {
					t.Errorf("no problem with %s and the file's name: %v", part, problems)
				}
			}
			for m, want := range tt.held {
				if l, ok := tab.Held(m); ok != (want != "") || ok && l.Addr != ip(want) {
					t.Errorf("%v holds %v %v, want %q", m, l.Addr, ok, want)
				}
			}
			if d := cmp.Diff(tt.rows, column(t, path, allRows)); d != "" {
				t.Error(d)
			}
			dora(t, tab, mac(77), 0)
			c.move(time.Hour)
			checkFree(t, tab, 0)
			tab.Close()
			checkRangePlugin(t, path)
			if _, problems := on(t, path, options(newClock())); name != "outside today's pools" && len(problems) > 0 {
				t.Errorf("second start: %v", problems)
			}
		})
	}
}

// checkRangePlugin does with the file what the range plugin does.
func checkRangePlugin(t *testing.T, path string) {
	t.Helper()
	run(t, path, rangeSchema)
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("select mac, ip, expiry, hostname from leases4")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var m, a, h string
		var expiry int
		if err := rows.Scan(&m, &a, &expiry, &h); err != nil {
			t.Fatal(err)
		}
		if _, err := parseRow(rawRow{mac: m, ip: a, expiry: fmt.Sprint(expiry), hostname: h}); err != nil {
			t.Error(err)
		}
	}
	rows.Close()
	run(t, path, "insert or replace into leases4(mac, ip, expiry, hostname) values ('02:00:00:00:00:4e', '192.0.2.19', 1, '')",
		"delete from leases4 where mac = '02:00:00:00:00:4e' and ip = '192.0.2.19'")
	if mode := column(t, path, "pragma journal_mode"); mode[0] != "delete" {
		t.Errorf("left in journal mode %s", mode)
	}
}

// A lease time made shorter does not end the leases that were given out.
func TestShorterLeaseTime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	c := newClock()
	opts := options(c)
	opts.LeaseTime = time.Hour
	tab, _ := on(t, path, opts)
	dora(t, tab, mac(1), 1)
	dora(t, tab, mac(2), 1)
	tab.Close()
	opts.LeaseTime = time.Minute
	for range 2 {
		c.move(10 * time.Minute)
		tab, problems := on(t, path, opts)
		if len(problems) > 0 {
			t.Error(problems)
		}
		c.move(10 * time.Minute)
		if l, err := tab.Acquire(mac(3), 1); err != ErrExhausted {
			t.Errorf("%v was given out while its lease lives", l.Addr)
		}
		tab.Close()
	}
	c.move(30 * time.Minute)
	tab, _ = on(t, path, opts)
	checkFree(t, tab, 1)
}

// damage makes a file that SQLite cannot read.
var damage = map[string]func(t *testing.T, path string){
	"not a database": func(t *testing.T, path string) { create(t, path, []byte(strings.Repeat("no database\n", 1000))) },
	"short text":     func(t *testing.T, path string) { create(t, path, []byte("x")) },
	"truncated":      func(t *testing.T, path string) { big(t, path); os.Truncate(path, 20000) },
	"mid-page":       func(t *testing.T, path string) { big(t, path); os.Truncate(path, 9999) },
	"overwritten": func(t *testing.T, path string) {
		big(t, path)
		data, _ := os.ReadFile(path)
		for i := 4096; i < len(data); i++ {
			data[i] = 0xaa
		}
		create(t, path, data)
	},
	"other columns": func(t *testing.T, path string) { run(t, path, "create table leases4 (mac, address)") },
	"stale log": func(t *testing.T, path string) {
		create(t, path, []byte(strings.Repeat("no database\n", 1000)))
		create(t, path+"-wal", []byte("old"))
	},
}

func create(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func big(t *testing.T, path string) {
	run(t, path, rangeSchema, `with recursive n(i) as (select 0 union all select i+1 from n where i < 2000)
		insert into leases4 select printf('02:00:00:00:%02x:%02x', i/256, i%256), printf('192.0.%d.%d', i/256, i%256), 1, 'some-host' from n`)
}

func TestSetAside(t *testing.T) {
	t.Parallel()
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "leases.db")
			c := newClock()
			for i := range 2 { // the second time in the same second
				spoil(t, path)
				before, _ := os.ReadFile(path)
				tab, problems := on(t, path, options(c))
				if len(problems) != 1 || !problems[0].Serious {
					t.Fatalf("problems %v", problems)
				}
				aside := path + ".corrupt-20260301T120000Z" + []string{"", "-2"}[i]
				after, _ := os.ReadFile(aside)
				if !strings.Contains(problems[0].Text, fmt.Sprintf("%q", aside)) || string(before) != string(after) {
					t.Errorf("%v: %d octets became %d", problems, len(before), len(after))
				}
				dora(t, tab, mac(1), 0)
				tab.Close()
				if got := column(t, path, allRows); len(got) != 1 {
					t.Errorf("new file holds %q", got)
				}
				os.Remove(path)
			}
		})
	}
}

func TestEmptyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	create(t, path, nil)
	tab, problems := on(t, path, options(newClock()))
	if len(problems) > 0 {
		t.Error(problems)
	}
	dora(t, tab, mac(1), 0)
}

func TestPathErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	create(t, file, nil)
	for path, want := range map[string]string{
		filepath.Join(dir, "no", "leases.db"):        fmt.Sprintf("there is no folder %q", filepath.Join(dir, "no")),
		filepath.Join(file, "leases.db"):             "file\" is no folder",
		dir:                                          "want a regular file",
		filepath.Join(dir, "x\x00y"):                 "x",
		filepath.Join(dir, strings.Repeat("x", 300)): "lease file",
	} {
		_, _, err := Open(path, options(newClock()))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "lease file") {
			t.Errorf("%q: %v, want %s", path, err, want)
		}
	}
}

func TestInUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	tab, _ := on(t, path, options(newClock()))
	if _, _, err := Open(path, options(newClock())); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("by a second table: %v", err)
	}
	tab.Close()
	db, err := sql.Open("sqlite3", path+"?_txlock=exclusive")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(path, options(newClock())); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("by a program that writes: %v", err)
	}
	tx.Rollback()
	on(t, path, options(newClock()))
}

// Administrators look into the file of a running server.
func TestReadersDoNotDisturb(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	tab, _ := on(t, path, options(newClock()))
	dora(t, tab, mac(1), 0)
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	var n int
	if err := tx.QueryRow("select count(*) from leases4").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
	dora(t, tab, mac(2), 0)
}

func TestDurability(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	s, _, _, err := openStore(path, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.takeOver(nil, false, time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	var journal string
	var sync int
	s.db.QueryRow("pragma journal_mode").Scan(&journal)
	s.db.QueryRow("pragma synchronous").Scan(&sync)
	if journal != "wal" || sync < 2 {
		t.Errorf("journal %s, synchronous %d: want wal and at least full (2)", journal, sync)
	}
}

// Somebody empties /tmp under a running server.
func TestFileRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	c := newClock()
	tab, _ := on(t, path, options(c))
	a := dora(t, tab, mac(1), 0)
	b := dora(t, tab, mac(2), 0)
	os.Remove(path)
	d := dora(t, tab, mac(3), 0)
	tab.Release(mac(2), b)
	tab.Close()
	tab, _ = on(t, path, options(c))
	for m, want := range map[Client]netip.Addr{mac(1): a, mac(3): d} {
		if l, ok := tab.Held(m); !ok || l.Addr != want {
			t.Errorf("%v holds %v %v, want %v", m, l.Addr, ok, want)
		}
	}
	if _, ok := tab.Held(mac(2)); ok {
		t.Error("the released lease is back")
	}
}

// An address changes hands in one transaction: the file never has two rows.
func TestHandOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	c := newClock()
	tab, _ := on(t, path, options(c))
	for i := range 5 {
		dora(t, tab, mac(i), 1)
		c.move(30 * time.Second)
	}
	dora(t, tab, mac(4), 0)
	got := column(t, path, "select mac || ' ' || ip from leases4 order by mac")
	want := []string{"02:00:00:00:00:03 198.51.100.2", "02:00:00:00:00:04 192.0.2.10"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A table that was closed for another process takes its file back: what it
// knew it still knows, and it writes again. While it is closed, it promises
// nothing; while the other process has the file, it stays closed.
func TestTakeBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	tab, _ := on(t, path, options(newClock()))
	a := dora(t, tab, mac(1), 0)
	if err := tab.Reopen(); err != nil {
		t.Errorf("an open table: %v", err)
	}
	for range 2 {
		if err := tab.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := tab.Confirm(ctx, mac(1), a, ""); !errors.Is(err, ErrStore) {
			t.Errorf("%v, want %v", err, ErrStore)
		}
		other, problems := on(t, path, options(newClock()))
		if l, ok := other.Held(mac(1)); !ok || l.Addr != a || len(problems) > 0 {
			t.Errorf("the other process has %v %v, %v", l, ok, problems)
		}
		if err := tab.Reopen(); !errors.Is(err, ErrInUse) {
			t.Errorf("%v, want %v", err, ErrInUse)
		}
		if _, err := tab.Confirm(ctx, mac(1), a, ""); !errors.Is(err, ErrStore) {
			t.Errorf("%v, want %v", err, ErrStore)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if err := tab.Reopen(); err != nil {
			t.Fatal(err)
		}
		if _, err := tab.Extend(ctx, mac(1), a, "again"); err != nil {
			t.Error(err)
		}
	}
	b := dora(t, tab, mac(2), 0)
	got := column(t, path, "select mac||' '||ip||' '||hostname from leases4 order by mac")
	if diff := cmp.Diff([]string{"02:00:00:00:00:01 " + a.String() + " again", "02:00:00:00:00:02 " + b.String() + " host"}, got); diff != "" {
		t.Error(diff)
	}
}

// The file is gone when it is taken back: all leases are written anew.
func TestTakeBackMissing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	tab, _ := on(t, path, options(newClock()))
	a := dora(t, tab, mac(1), 0)
	if err := tab.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := tab.Reopen(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"02:00:00:00:00:01 " + a.String()}, column(t, path, "select mac||' '||ip from leases4")); diff != "" {
		t.Error(diff)
	}
}

// TestEntriesOfFile has leases of the file: nobody knows since when they are bound.
func TestEntriesOfFile(t *testing.T) {
	t.Parallel()
	c := newClock()
	path := filepath.Join(t.TempDir(), "leases.db")
	tab, _ := on(t, path, options(c))
	dora(t, tab, mac(1), 0)
	c.move(30 * time.Second)
	dora(t, tab, mac(2), 0)
	tab.Close()
	c.move(40 * time.Second)
	tab, _ = on(t, path, options(c))
	want := "192.0.2.10 of 1 expired since -9s, 192.0.2.11 of 2 bound until 21s" // the file has whole seconds
	if diff := cmp.Diff(want, entries(tab, c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
