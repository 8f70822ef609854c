package smd

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	base "github.com/Cray-HPE/hms-base/v2"
	"github.com/OpenCHAMI/smd/v2/pkg/sm"
)

// snapshotInterval is the least time between two writes.
const snapshotInterval = 5 * time.Minute

// A Snapshot is the file that keeps the last good inventory for the next
// start: one JSON object with the lists EthernetInterfaces and Components in
// SMD's own format, behind a header. It is a valid Folder.
type Snapshot struct {
	Path   string
	Source string // SMD's URL; a file of another SMD is set aside
}

// A header stands at the beginning of a snapshot.
type header struct {
	Source string    // SMD's URL
	Time   time.Time // when SMD was read
}

// load reads the file. Without one the error is os.ErrNotExist.
func (s Snapshot) load() (*indexer, time.Time, error) {
	f, err := s.open()
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	return s.read(f)
}

// read reads the content of a snapshot.
func (s Snapshot) read(r io.Reader) (*indexer, time.Time, error) {
	text, err := streamOf(r, "an object")
	if err != nil {
		return nil, time.Time{}, err
	}
	l := loader{stream: text, wanted: s.Source}
	if err := text.members(l.take); err != nil {
		return nil, time.Time{}, err
	}
	if err := text.end(); err != nil {
		return nil, time.Time{}, err
	}
	if l.index == nil {
		return nil, time.Time{}, errors.New("no list Components before a list EthernetInterfaces")
	}
	return l.index, l.Time, nil
}

// A loader reads a snapshot, whose header comes first.
type loader struct {
	*stream
	header
	wanted string // Source
	index  *indexer
}

func (l *loader) take(name string) (known bool, err error) {
	switch name {
	case "Source":
		return true, broken(l.Decode(&l.Source))
	case "Time":
		return true, broken(l.Decode(&l.Time))
	case "Components":
		if err := l.check(l.wanted); err != nil {
			return true, err
		}
		c := newCollector(l.stream)
		err := l.list(c.take)
		l.index = newIndexer(c.components, nil)
		return true, err
	case "EthernetInterfaces":
		if l.index == nil {
			return true, errors.New("no list Components before the list EthernetInterfaces")
		}
		return true, l.interfaces(l.index.add, l.index.unreadable)
	}
	return false, nil
}

// check says what is wrong with a header.
func (h header) check(source string) error {
	switch {
	case h.Source != source:
		return fmt.Errorf("it is of %q, not of %q", h.Source, source)
	case h.Time.IsZero():
		return errors.New("no time inside")
	}
	return nil
}

// open opens a file that is ours alone.
func (s Snapshot) open() (*os.File, error) {
	f, err := os.OpenFile(s.Path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, errors.New("it is a symbolic link")
	}
	if err != nil {
		return nil, err
	}
	stat, err := f.Stat()
	if err == nil {
		err = ours(stat)
	}
	if err == nil && stat.Size() > DefaultSizeLimit {
		err = fmt.Errorf("it is larger than %d octets", int64(DefaultSizeLimit))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ours says what is wrong with a file that somebody else may have written.
func ours(stat os.FileInfo) error {
	owner, ok := stat.Sys().(*syscall.Stat_t)
	switch {
	case stat.Mode()&os.ModeSymlink != 0:
		return errors.New("it is a symbolic link")
	case !stat.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case !ok || int(owner.Uid) != os.Geteuid():
		return errors.New("it belongs to somebody else")
	case stat.Mode()&0o022 != 0:
		return fmt.Errorf("its mode %#o lets others write it", stat.Mode().Perm())
	}
	return nil
}

// save writes the file whole, or leaves the one that is there.
func (s Snapshot) save(index Index, at time.Time) error {
	stat, err := os.Lstat(s.Path)
	if err == nil {
		err = ours(stat)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fresh := s.Path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := s.write(fresh, index, at); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	if err := os.Rename(fresh, s.Path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(s.Path))
}

func (s Snapshot) write(path string, index Index, at time.Time) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.writeTo(f, index, at); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

func (s Snapshot) writeTo(w io.Writer, index Index, at time.Time) error {
	out := bufio.NewWriterSize(w, 64<<10)
	if err := encode(out, header{s.Source, at}, index); err != nil {
		return err
	}
	return out.Flush()
}

// Hand writes what is served, in the form of a snapshot, for a process that takes
// this one's place. If SMD was not heard it writes nothing: there is the snapshot.
func (c *Cache) Hand(w io.Writer, source string) error {
	if c.Status().State <= FromSnapshot {
		return nil
	}
	return Snapshot{Source: source}.writeTo(w, c.serving(), c.Status().Loaded)
}

// Inherit serves what Hand wrote, as if SMD had been heard and were away now. Of
// another SMD, or if nothing was written, it is an error and the cache stays as
// it is.
func (c *Cache) Inherit(r io.Reader, source string) error {
	c.refresh.Lock()
	defer c.refresh.Unlock()
	ix, at, err := Snapshot{Source: source}.read(r)
	if err != nil {
		return fmt.Errorf("the inventory of the process before: %w", err)
	}
	ix.adopt(nil)
	c.restored(ix.index, ix.owner, at)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.basis, c.failing = aPoll, true
	return nil
}

// syncFolder makes a rename last.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// encode writes an index as SMD's two lists, a record a line.
func encode(out *bufio.Writer, h header, index Index) error {
	source, err := json.Marshal(h.Source)
	if err != nil {
		return err
	}
	macs := slices.SortedFunc(maps.Keys(index), func(a, b MAC) int { return slices.Compare(a[:], b[:]) })
	fmt.Fprintf(out, "{\"Source\":%s,\n\"Time\":%q,\n\"Components\":[", source, h.Time.UTC().Format(time.RFC3339))
	list := lister{out: out}
	written := make(map[string]bool, len(index))
	for _, mac := range macs {
		if m := index[mac]; !written[m.ID] {
			written[m.ID] = true
			list.add(componentOf(m))
		}
	}
	fmt.Fprintf(out, "],\n\"EthernetInterfaces\":[")
	list.count = 0
	for _, mac := range macs {
		list.add(interfaceOf(index[mac]))
	}
	_, err = out.WriteString("]}\n")
	return errors.Join(list.err, err)
}

// A lister writes the elements of a list.
type lister struct {
	out   *bufio.Writer
	count int
	err   error
}

func (l *lister) add(record any) {
	text, err := json.Marshal(record)
	if err != nil && l.err == nil {
		l.err = err
	}
	if l.count++; l.count > 1 {
		_ = l.out.WriteByte(',')
	}
	_ = l.out.WriteByte('\n')
	_, _ = l.out.Write(text) // an error stays with the writer
}

func componentOf(m *Machine) base.Component {
	enabled := !m.Disabled
	c := base.Component{
		ID: m.ID, Type: m.Type, Enabled: &enabled,
		Role: m.Role, SubRole: m.SubRole, Class: m.Class, Arch: m.Arch, State: m.State,
	}
	if m.HasNID {
		c.NID = json.Number(strconv.FormatUint(m.NID, 10))
	}
	return c
}

func interfaceOf(m *Machine) sm.CompEthInterfaceV2 {
	addrs := make([]sm.IPAddressMapping, 0, len(m.Addrs))
	for _, a := range m.Addrs {
		text := a.String()
		if bits := m.Bits(a); bits > 0 {
			text = netip.PrefixFrom(a, bits).String()
		}
		addrs = append(addrs, sm.IPAddressMapping{IPAddr: text})
	}
	mac := m.MAC.String()
	return sm.CompEthInterfaceV2{ID: strings.ReplaceAll(mac, ":", ""), MACAddr: mac, CompID: m.ID, Type: m.Type, IPAddrs: addrs}
}

// A saver writes snapshots, not too often and only what is new.
type saver struct {
	snapshot *Snapshot // nil: none
	unsaved  bool      // the index changed since the last write
	tried    time.Time // the last write
}

// save writes the index if it is time.
func (s *saver) save(index Index, loaded, now time.Time) error {
	if s.snapshot == nil || !s.unsaved || !s.tried.IsZero() && now.Sub(s.tried) < snapshotInterval {
		return nil
	}
	s.tried = now
	if err := s.snapshot.save(index, loaded); err != nil {
		return fmt.Errorf("writing snapshot_file %s: %w", s.snapshot.Path, err)
	}
	s.unsaved = false
	return nil
}

// Restore serves the snapshot until SMD is heard. Without a file it does
// nothing; a file that cannot be used is an error, and the cache stays empty.
func (c *Cache) Restore() error {
	c.refresh.Lock()
	defer c.refresh.Unlock()
	if c.saver.snapshot == nil {
		return nil
	}
	ix, at, err := c.saver.snapshot.load()
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("reading snapshot_file %s: %w", c.saver.snapshot.Path, err)
	}
	ix.adopt(nil)
	c.restored(ix.index, ix.owner, at)
	return nil
}

// restored serves an index that was not linted. The caller holds refresh.
func (c *Cache) restored(index Index, owner map[netip.Addr]MAC, at time.Time) {
	if now := time.Now(); at.After(now) {
		at = now // clocks step
	}
	c.compared = false
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index, c.owner, c.basis, c.loaded = index, owner, aSnapshot, at
}
