package dhcptest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Names inside the database server. SMD and its schema tool have these as defaults.
const (
	pgUser     = "hmsdsuser"
	pgTemplate = "hmsds"
	pgPort     = "5432" // only a part of the socket's file name
)

// Postgres is a PostgreSQL server of the tests' own, which is reached by its socket only
// and so from any network namespace. It holds SMD's schema as a template.
type Postgres struct {
	SMD SMDBinaries

	dir  string // data and socket
	bin  string // folder of PostgreSQL's programs
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	seq  atomic.Int64
}

// StartPostgres starts a database server for one test.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	pg, err := NewPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	return pg
}

// NewPostgres builds SMD if need be, starts a database server in a new temporary folder and
// puts SMD's schema into it. The caller ends it with Stop. It is meant to be shared by the
// tests of a package; each SMD gets a database of its own in it.
func NewPostgres() (*Postgres, error) {
	smd, err := BuildSMD()
	if err != nil {
		return nil, err
	}
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	for _, left := range orphans(filepath.Join(os.TempDir(), "crsmd-*-pg-*")) {
		_ = os.RemoveAll(left)
	}
	dir, err := os.MkdirTemp("", fmt.Sprintf("crsmd-%d-pg-", os.Getpid()))
	if err != nil {
		return nil, err
	}
	pg := &Postgres{SMD: smd, dir: dir, bin: bin}
	if err := pg.start(); err != nil {
		return nil, errors.Join(err, pg.Stop())
	}
	return pg, nil
}

// postgresPrograms finds the folder of initdb and postgres, which Debian keeps out of PATH.
func postgresPrograms() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		if _, err := os.Stat(filepath.Join(dirs[i], "postgres")); err == nil {
			return dirs[i], nil
		}
	}
	return "", errors.New("PostgreSQL is missing: apt-get install postgresql")
}

// start makes the database folder, starts the server on it and waits until it answers.
func (pg *Postgres) start() error {
	who, err := unprivileged()
	if err != nil {
		return err
	}
	if err := os.Chown(pg.dir, int(who.Uid), int(who.Gid)); err != nil {
		return err
	}
	initdb := exec.Command(filepath.Join(pg.bin, "initdb"), "-A", "trust", "--no-sync", "-U", pgUser, "-E", "UTF8", "--locale=C", "-D", pg.data())
	initdb.Dir = pg.dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := pg.Resume(); err != nil {
		return err
	}
	return pg.makeTemplate()
}

func (pg *Postgres) data() string { return filepath.Join(pg.dir, "data") }

// Resume starts the server process on the data that are there. When the test process is
// killed, the kernel tells the server to quit.
func (pg *Postgres) Resume() error {
	who, err := unprivileged()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(pg.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(pg.bin, "postgres"), "-D", pg.data(), "-k", pg.dir,
		"-c", "listen_addresses=", "-c", "port="+pgPort, "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=200")
	cmd.Dir = pg.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Pdeathsig: syscall.SIGQUIT}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting postgres: %w", err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	pg.cmd, pg.done = cmd, done
	return nil
}

// unprivileged returns the user that the database server runs as: it refuses root.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("there is neither a user postgres nor a user nobody to run PostgreSQL as")
}

// makeTemplate waits for the server and makes the database that others are copied from.
func (pg *Postgres) makeTemplate() error {
	var err error
	for range 200 {
		if err = pg.createDB(pgTemplate); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(pg.dir, "log"))
		return fmt.Errorf("%w\n%s", err, log)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args := append(pg.smdArgs(pgTemplate), "-migrationsdir", pg.SMD.Migrations)
	if out, err := exec.CommandContext(ctx, pg.SMD.Init, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("smd-init: %w\n%s", err, out)
	}
	return nil
}

// createDB makes a database, a copy of another one if that is named.
func (pg *Postgres) createDB(name string, args ...string) error {
	args = append([]string{"-h", pg.dir, "-p", pgPort, "-U", pgUser, name}, args...)
	if out, err := exec.Command(filepath.Join(pg.bin, "createdb"), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("createdb %s: %w: %s", name, err, out)
	}
	return nil
}

// smdArgs are the words by which SMD and its schema tool find a database.
func (pg *Postgres) smdArgs(database string) []string {
	return []string{"-dbhost", pg.dir, "-dbport", pgPort, "-dbuser", pgUser, "-dbname", database, "-dbopts", "sslmode=disable"}
}

// Halt ends the server process; what SMD has stored stays.
func (pg *Postgres) Halt() error {
	if pg.cmd == nil {
		return nil
	}
	_ = pg.cmd.Process.Signal(syscall.SIGINT) // does not wait for its clients to go
	select {
	case <-pg.done:
		return nil
	case <-time.After(stopTimeout):
		_ = pg.cmd.Process.Kill()
		<-pg.done
		return fmt.Errorf("postgres still ran %v after SIGINT", stopTimeout)
	}
}

// Stop ends the server and removes its folder.
func (pg *Postgres) Stop() error {
	return errors.Join(pg.Halt(), os.RemoveAll(pg.dir))
}
