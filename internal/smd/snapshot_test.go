package smd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const smdURL = "https://smd.example.org"

// TestSnapshot has an inventory that goes to disk and comes back at the next
// start, and as a file inventory.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	file := &Snapshot{Path: filepath.Join(t.TempDir(), "inventory.json"), Source: smdURL}
	records := strings.Replace(nics(1, 2), "x3000c0s0b0n0", "x3000c0s1b0n0", 1)
	records = strings.Replace(records, `"192.0.2.1"`, `"192.0.2.1/24"`, 1)
	source := &script{steps: []step{{interfaces: records}}}
	first := NewCache(Options{Source: source, Snapshot: file})
	if err := first.Restore(); err != nil {
		t.Fatalf("without a file: %v", err)
	}
	if err := first.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	stat, err := os.Stat(file.Path)
	if err != nil || stat.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", stat, err)
	}

	second := NewCache(Options{Source: &script{steps: []step{{err: errDown}}}, Snapshot: file})
	if err := second.Restore(); err != nil {
		t.Fatal(err)
	}
	_ = second.Refresh(t.Context())
	if s := second.Status(); s.State != FromSnapshot || s.Loaded.Unix() != first.Status().Loaded.Unix() {
		t.Errorf("%v of %v", s.State, s.Loaded)
	}
	third := NewCache(Options{Source: Folder{file.Path}})
	if err := third.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Cache{"restored": second, "file inventory": third} {
		if diff := cmp.Diff(first.index, c.index, comparers); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if !second.Claims(addrs("192.0.2.1")[0]) || second.Claims(addrs("192.0.2.9")[0]) {
		t.Error("claimed addresses of the snapshot")
	}

	second.opts.Source = &script{steps: []step{{interfaces: "[]"}, {interfaces: records}}}
	_ = second.Refresh(t.Context())
	if s := second.Status(); s.State != FromSnapshot || !s.Doubted {
		t.Errorf("SMD came back empty: %v, doubted %v", s.State, s.Doubted)
	}
	_ = second.Refresh(t.Context())
	if s := second.Status(); s.State != Fresh {
		t.Errorf("SMD came back: %v", s.State)
	}
}

// TestSnapshotSetAside has files that a start must not believe.
func TestSnapshotSetAside(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	good := filepath.Join(folder, "good")
	saved := func(path, source string) {
		t.Helper()
		index := Index{MAC{2, 0, 0, 0, 0, 1}: {MAC: MAC{2, 0, 0, 0, 0, 1}, ID: "x3000c0s0b0n0", Traits: &Traits{}}}
		if err := (Snapshot{path, source}).save(index, time.Unix(1000, 0)); err != nil {
			t.Fatal(err)
		}
	}
	saved(good, smdURL)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := errors.Join(os.WriteFile(path, text, mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{
		"truncated": "broken JSON: unexpected EOF",
		"empty":     "nothing where an object belongs: \"\"",
		"link":      "it is a symbolic link",
		"folder":    "it is not a regular file",
		"writable":  "its mode 0666 lets others write it",
		"elsewhere": `it is of "https://other.example.org", not of "https://smd.example.org"`,
		"no time":   "no time inside",
		"no lists":  "no list Components before a list EthernetInterfaces",
	}
	write("truncated", whole[:len(whole)-9], 0o600)
	write("empty", nil, 0o600)
	write("writable", whole, 0o666)
	write("no time", []byte(`{"Source":"`+smdURL+`","Components":[]}`), 0o600)
	write("no lists", []byte(`{"Source":"`+smdURL+`","Time":"2026-01-02T03:04:05Z"}`), 0o600)
	saved(filepath.Join(folder, "elsewhere"), "https://other.example.org")
	if err := errors.Join(os.Symlink(good, filepath.Join(folder, "link")), os.Mkdir(filepath.Join(folder, "folder"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		write("somebody's", whole, 0o600)
		if err := os.Chown(filepath.Join(folder, "somebody's"), 65534, 65534); err != nil {
			t.Fatal(err)
		}
		want["somebody's"] = "it belongs to somebody else"
	}
	for name, reason := range want {
		file := Snapshot{filepath.Join(folder, name), smdURL}
		cache := NewCache(Options{Snapshot: &file})
		err := cache.Restore()
		if text := "reading snapshot_file " + file.Path + ": " + reason; err == nil || err.Error() != text {
			t.Errorf("%s: %v, want %s", name, err, text)
		}
		if s := cache.Status(); s.State != NeverLoaded || s.Machines != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	for _, name := range []string{"link", "folder", "writable"} {
		if err := (Snapshot{filepath.Join(folder, name), smdURL}).save(nil, time.Now()); err == nil || err.Error() != want[name] {
			t.Errorf("written over %s: %v", name, err)
		}
	}
}

// TestSnapshotWrites has polls and which of them write: what is new, not more
// often than every five minutes, and nothing that is in doubt.
func TestSnapshotWrites(t *testing.T) {
	t.Parallel()
	file := &Snapshot{Path: filepath.Join(t.TempDir(), "inventory.json"), Source: smdURL}
	synctest.Test(t, func(t *testing.T) {
		source := &script{}
		cache := NewCache(Options{Source: source, Snapshot: file})
		var got []int
		for _, c := range []struct {
			minutes int
			answer  step
		}{
			{0, step{interfaces: nics(1)}},
			{1, step{interfaces: nics(1, 2, 3)}},    // too soon
			{5, step{interfaces: nics(1, 2, 3)}},    // written late
			{6, step{interfaces: nics(1, 2, 3)}},    // nothing new
			{6, step{interfaces: nics(1)}},          // in doubt
			{1, step{err: errDown}},                 // no answer
			{1, step{interfaces: nics(1, 2, 3, 4)}}, // written
		} {
			time.Sleep(time.Duration(c.minutes) * time.Minute)
			source.steps = []step{c.answer}
			_ = os.Remove(file.Path)
			_ = cache.Refresh(t.Context())
			machines := 0
			if ix, _, err := file.load(); err == nil {
				machines = len(ix.index)
			}
			got = append(got, machines)
		}
		if diff := cmp.Diff([]int{1, 0, 3, 0, 0, 0, 4}, got); diff != "" {
			t.Errorf("machines in the file (-want +got):\n%s", diff)
		}
	})
	file.Path = filepath.Join(t.TempDir(), "missing", "inventory.json")
	var unsaved error
	cache := NewCache(Options{Source: &script{steps: []step{{interfaces: nics(1)}}}, Snapshot: file, OnPoll: func(p Poll) { unsaved = p.Unsaved }})
	if err := cache.Refresh(t.Context()); err != nil || !errors.Is(unsaved, os.ErrNotExist) {
		t.Errorf("poll %v, snapshot %v", err, unsaved)
	}
}
