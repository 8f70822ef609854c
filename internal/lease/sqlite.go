//go:build cgo

package lease

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/mattn/go-sqlite3"
)

// shape is the table of a family. The parameters of its statements are the
// columns of rawRow, in their order.
type shape struct {
	name   string
	schema string
	// put leaves one row per client and one per address: replacing removes
	// what an earlier client has on the address in the same transaction.
	put    string
	remove string
	read   string
}

// shape4 returns the table of CoreDHCP's range plugin. That declares mac and ip as
// `string`, which SQLite takes for a numeric column, and allows several rows
// per client; its `create table if not exists` accepts this one.
func shape4() shape {
	return shape{
		name:   "leases4",
		schema: `CREATE TABLE leases4 (mac text not null primary key, ip text not null unique, expiry int, hostname text not null)`,
		put:    `insert or replace into leases4(mac, ip, expiry, hostname) values (?3, ?4, ?5, ?6)`,
		remove: `delete from leases4 where mac = ?3 and ip = ?4`,
		read:   `select '', '', coalesce(cast(mac as text), ''), coalesce(cast(ip as text), ''), coalesce(cast(expiry as text), ''), coalesce(cast(hostname as text), '') from leases4 order by rowid`,
	}
}

// shape6 returns a table that holds DUID and IAID in hex.
func shape6() shape {
	return shape{
		name:   "leases6",
		schema: `CREATE TABLE leases6 (duid text not null, iaid text not null, mac text not null, ip text not null unique, expiry int, hostname text not null, primary key (duid, iaid))`,
		put:    `insert or replace into leases6(duid, iaid, mac, ip, expiry, hostname) values (?1, ?2, ?3, ?4, ?5, ?6)`,
		remove: `delete from leases6 where duid = ?1 and iaid = ?2 and ip = ?4`,
		read:   `select coalesce(cast(duid as text), ''), coalesce(cast(iaid as text), ''), coalesce(cast(mac as text), ''), coalesce(cast(ip as text), ''), coalesce(cast(expiry as text), ''), coalesce(cast(hostname as text), '') from leases6 order by rowid`,
	}
}

func shapeOf(six bool) shape {
	if six {
		return shape6()
	}
	return shape4()
}

// pragmas: EXTRA is FULL, an fsync per commit, and where a file system cannot
// do the write-ahead log it syncs the folder as well once the journal is gone.
const pragmas = "_synchronous=EXTRA&_busy_timeout=2000&_txlock=immediate"

// store is the SQLite file. A commit appends to a write-ahead log with one
// fsync (a rollback journal takes three or four), and administrators may read
// the file meanwhile. Only the goroutine that writes uses a store.
type store struct {
	path string
	shape
	lock *os.File  // held while the store is open; nil where that cannot be
	db   *sql.DB   // nil after an error: the next commit opens it again
	add  *sql.Stmt // puts a row; nil unless ready

	ready    bool          // the file has our schema and holds what takeOver wants
	file     os.FileInfo   // of the file when it became ready
	rewrite  []row         // what it shall hold, nil when it does
	snapshot func() []row  // all leases, for a file that went away
	longest  time.Duration // kept as user_version, in seconds
}

// openStore locks and reads the file, setting aside one that is no readable
// database. now gives that one its name, six says that it is of DHCPv6.
func openStore(path string, six bool, now time.Time) (*store, contents, []Problem, error) {
	if err := checkPath(path); err != nil {
		return nil, contents{}, nil, err
	}
	lock, err := lockFile(path)
	if err != nil {
		return nil, contents{}, nil, err
	}
	s := &store{path: path, shape: shapeOf(six), lock: lock}
	found, err := s.contents()
	if err == nil {
		return s, found, nil, nil
	}
	var problems []Problem
	if damaged(err) {
		problems, err = s.setAside(err, now)
	}
	if err == nil {
		found, err = s.contents()
	}
	if err != nil {
		_ = s.close()
		return nil, contents{}, nil, s.explain(err)
	}
	return s, found, problems, nil
}

func (s *store) explain(err error) error {
	var e sqlite3.Error
	if errors.As(err, &e) && (e.Code == sqlite3.ErrBusy || e.Code == sqlite3.ErrLocked) {
		return fmt.Errorf("lease file %q: %w: %w", s.path, ErrInUse, err)
	}
	return fmt.Errorf("lease file %q: %w", s.path, err)
}

// damaged tells a file that SQLite cannot read, or whose table is another one,
// from an error that may go away.
func damaged(err error) bool {
	if errors.Is(err, errDamaged) || errors.Is(err, fs.ErrPermission) {
		return true
	}
	var e sqlite3.Error
	return errors.As(err, &e) &&
		(e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB || e.Code == sqlite3.ErrError || e.Code == sqlite3.ErrFormat)
}

// open opens the file with a single connection.
func (s *store) open() error {
	if s.db != nil {
		return nil
	}
	abs, err := filepath.Abs(s.path)
	if err != nil {
		return err
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: abs, RawQuery: pragmas}
	db, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	s.db = db
	return nil
}

// shut closes the database so that the next use opens it anew.
func (s *store) shut() error {
	if s.db == nil {
		return nil
	}
	var err error
	if s.add != nil {
		err = s.add.Close()
	}
	err = errors.Join(err, s.db.Close())
	s.db, s.add, s.ready = nil, nil, false
	return err
}

// contents checks the whole file and returns its rows. It writes nothing.
func (s *store) contents() (contents, error) {
	if err := checkReadable(s.path); err != nil {
		return contents{}, err
	}
	if err := s.open(); err != nil {
		return contents{}, err
	}
	var verdict string
	if err := s.db.QueryRow("pragma quick_check(1)").Scan(&verdict); err != nil {
		return contents{}, err
	}
	if verdict != "ok" {
		return contents{}, fmt.Errorf("%w: %s", errDamaged, verdict)
	}
	var seconds int64
	if err := s.db.QueryRow("pragma user_version").Scan(&seconds); err != nil {
		return contents{}, err
	}
	declared, err := s.declared()
	if err != nil || declared == "" {
		return contents{}, err
	}
	rows, err := s.rows()
	return contents{rows: rows, longest: max(0, time.Duration(seconds)*time.Second)}, err
}

// declared returns how the table was declared, nothing when there is none.
func (s *store) declared() (string, error) {
	var text string
	err := s.db.QueryRow("select sql from sqlite_master where name = ?", s.name).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return text, err
}

func (s *store) rows() ([]rawRow, error) {
	rows, err := s.db.Query(s.read)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var raws []rawRow
	for rows.Next() {
		var r rawRow
		if err := rows.Scan(&r.duid, &r.iaid, &r.mac, &r.ip, &r.expiry, &r.hostname); err != nil {
			return nil, err
		}
		raws = append(raws, r)
	}
	return raws, rows.Err()
}

// takeOver makes the file ours: the schema, the rows where they differ, and
// the lease time that its expiries were made with. After an error every commit
// tries again. snapshot returns the leases of the table; it is called by
// commit when somebody removed the file.
func (s *store) takeOver(keep []row, dirty bool, longest time.Duration, snapshot func() []row) error {
	declared, err := s.declared()
	if err != nil {
		return s.explain(err)
	}
	if dirty || declared != s.schema {
		s.rewrite = append([]row{}, keep...)
	}
	s.longest, s.snapshot = longest, snapshot
	if err := s.prepare(); err != nil {
		return s.explain(err)
	}
	return nil
}

func (s *store) prepare() error {
	if err := s.open(); err != nil {
		return err
	}
	err := s.migrate()
	if err == nil {
		s.add, err = s.db.Prepare(s.put)
	}
	if err == nil {
		s.file, err = os.Stat(s.path)
	}
	if err != nil {
		_ = s.shut()
		return err
	}
	s.rewrite, s.ready = nil, true
	return nil
}

// migrate does in one transaction what takeOver wants.
func (s *store) migrate() error {
	if _, err := s.db.Exec("pragma journal_mode = wal"); err != nil {
		return err
	}
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if s.rewrite != nil {
		if err := s.rebuild(tx); err != nil {
			return err
		}
	}
	seconds := min(math.Ceil(s.longest.Seconds()), math.MaxInt32)
	if _, err := tx.Exec(fmt.Sprintf("pragma user_version = %d", int64(seconds))); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *store) rebuild(tx *sql.Tx) error {
	if _, err := tx.Exec("drop table if exists " + s.name + "; " + s.schema); err != nil {
		return err
	}
	put, err := tx.Prepare(s.put)
	if err != nil {
		return err
	}
	defer put.Close()
	for _, r := range s.rewrite {
		if _, err := put.Exec(r.columns()...); err != nil {
			return err
		}
	}
	return nil
}

// columns are the parameters of a statement.
func (r row) columns() []any {
	raw := r.raw()
	return []any{raw.duid, raw.iaid, raw.mac, raw.ip, r.expiry, raw.hostname}
}

// commit makes all writes durable, in their order, or none of them.
func (s *store) commit(batch []*write) error {
	if s.ready && s.moved() {
		_ = s.shut()
		s.rewrite = s.snapshot()
	}
	if !s.ready {
		if err := s.prepare(); err != nil {
			return err
		}
	}
	err := s.transact(batch)
	if err != nil {
		_ = s.shut()
	}
	return err
}

func (s *store) transact(batch []*write) error {
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	put := tx.Stmt(s.add)
	defer put.Close()
	for _, w := range batch {
		if w.remove {
			_, err = tx.Exec(s.remove, w.columns()[:4]...)
		} else {
			_, err = put.Exec(w.columns()...)
		}
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// close leaves a file without a log beside it, as earlier releases know it.
func (s *store) close() error {
	var err error
	if s.db != nil {
		if s.ready {
			_, _ = s.db.Exec("pragma journal_mode = delete") // a reader may prevent it: then the log stays, as good
		}
		err = s.shut()
	}
	unlockFile(s.lock)
	return err
}

// reopen takes the file back after close. What is wrong with it is tried again
// by the next commit.
func (s *store) reopen() error {
	lock, err := lockFile(s.path)
	if err != nil {
		return err
	}
	s.lock = lock
	if s.moved() {
		s.rewrite = s.snapshot()
	}
	if err := s.prepare(); err != nil {
		return fmt.Errorf("lease file %q: %w", s.path, err)
	}
	return nil
}
