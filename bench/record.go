package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/bench/load"
)

// A record is what one measurement of one server showed.
type record struct {
	Scene   string
	Peer    string
	Round   int
	Results []load.Result
	Memory  int64 // resident at the end, in octets
	Peak    int64 // most resident
	Theirs  exchanges
}

func (r record) String() string {
	var parts []string
	for _, x := range r.Results {
		text := fmt.Sprintf("%d leases in %v (%.0f/s), %d open, %d asked again, p50 %v p99 %v worst %v, server %v, crowd %v",
			x.Leases, x.Took.Round(time.Millisecond), perSecond(x), x.Open, x.Again, x.P50, x.P99, x.Worst, x.Server, x.Self)
		if x.Calm.P50 > 0 {
			text += fmt.Sprintf(", calm p50 %v p99 %v worst %v, busy p50 %v p99 %v worst %v", x.Calm.P50, x.Calm.P99, x.Calm.Worst, x.Busy.P50, x.Busy.P99, x.Busy.Worst)
		}
		parts = append(parts, text)
	}
	if r.Theirs.Asked > 0 {
		parts = append(parts, r.Theirs.String())
	}
	return fmt.Sprintf("%s; %d MB", strings.Join(parts, " | "), r.Memory/1e6)
}

// A ledger is the records of one run in a file, a line each. A run that was
// interrupted goes on where it was, as long as the programs are the same.
type ledger struct {
	path    string
	key     string
	records []record
}

// openLedger reads the records that a run with the same key has left.
func openLedger(path, key string) (*ledger, error) {
	l := &ledger{path: path, key: key}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	lines := strings.Split(string(text), "\n")
	if lines[0] == key {
		for _, line := range lines[1:] {
			var r record
			if json.Unmarshal([]byte(line), &r) == nil { // the last one may be cut off
				l.records = append(l.records, r)
			}
		}
	}
	return l, l.save()
}

// save writes the file anew.
func (l *ledger) save() error {
	text := []byte(l.key + "\n")
	for _, r := range l.records {
		words, err := json.Marshal(r)
		if err != nil {
			return err
		}
		text = append(append(text, words...), '\n')
	}
	return os.WriteFile(l.path, text, 0o644)
}

// restart forgets all.
func (l *ledger) restart() error {
	l.records = nil
	return l.save()
}

func (l *ledger) add(r record) error {
	l.records = append(l.records, r)
	return l.save()
}

// of returns the records of a server in a scene.
func (l *ledger) of(scene, peer string) []record {
	return slices.DeleteFunc(slices.Clone(l.records), func(r record) bool { return r.Scene != scene || r.Peer != peer })
}

func (l *ledger) has(scene, peer string, round int) bool {
	return slices.ContainsFunc(l.of(scene, peer), func(r record) bool { return r.Round == round })
}

// median returns the median of a value of the records; false: there are none.
func median(records []record, value func(record) float64) (float64, bool) {
	if len(records) == 0 {
		return 0, false
	}
	values := make([]float64, len(records))
	for i, r := range records {
		values[i] = value(r)
	}
	slices.Sort(values)
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half], true
	}
	return (values[half-1] + values[half]) / 2, true
}

// sums returns a word that tells these files from others.
func sums(paths ...string) (string, error) {
	h := sha256.New()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

// perSecond is leases a second.
func perSecond(r load.Result) float64 { return float64(r.Leases) / max(r.Took.Seconds(), 1e-9) }
