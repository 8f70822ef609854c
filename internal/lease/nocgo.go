//go:build !cgo

package lease

import "time"

// store stands in for the SQLite file, which needs cgo.
type store struct{}

func openStore(string, bool, time.Time) (*store, contents, []Problem, error) {
	return nil, contents{}, nil, ErrNoCgo
}

func (*store) takeOver([]row, bool, time.Duration, func() []row) error { return ErrNoCgo }
func (*store) commit([]*write) error                                   { return ErrNoCgo }
func (*store) close() error                                            { return nil }
func (*store) reopen() error                                           { return ErrNoCgo }
