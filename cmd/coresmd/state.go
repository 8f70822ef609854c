package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// resume reads what was found before, and opens the file for the rest.
func (f *flight) resume() error {
	if f.state == "" {
		return nil
	}
	file, err := os.OpenFile(f.state, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	whole, err := f.before(file)
	if err == nil {
		err = file.Truncate(whole)
	}
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return fmt.Errorf("--state: %w", err)
	}
	f.file = file
	return nil
}

// before reads the results of an earlier run, and returns their length. The
// last line may have been cut short when that run was.
func (f *flight) before(file io.Reader) (whole int64, err error) {
	text, err := io.ReadAll(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.MAC == "" {
			return 0, fmt.Errorf("%s is no file of an earlier run: %q", f.state, strings.TrimSpace(line))
		}
		f.done[r.MAC] = r
		whole += int64(len(line))
	}
	return whole, nil
}

// keep notes what became of a machine.
func (f *flight) keep(r result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done[r.MAC] = r
	if f.file != nil {
		_ = json.NewEncoder(f.file).Encode(r) // a run that cannot note it still tells it
	}
}

// end takes the file away after a whole run.
func (f *flight) end(ctx context.Context) error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	if ctx.Err() == nil {
		err = errors.Join(err, os.Remove(f.state))
	}
	return err
}
