package server

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/sniff"
)

// tell writes an exchange down.
func (s *shadow) tell(x *compare.Exchange) {
	s.tally.Add(x)
	s.write("exchange", x, x.Text())
}

// A shadowSummary is a summary with what only the taps know.
type shadowSummary struct {
	compare.Summary
	Fragments int `json:"fragments"` // parts of datagrams, which are not put together
	Lost      int `json:"lost"`      // datagrams that came faster than they were read
}

// summary writes down what came of it so far.
func (s *shadow) summary() {
	counts := s.tapCounts()
	sum := shadowSummary{s.tally.Sum(time.Now(), s.pairing.Counts(), s.asking.Machines.Each), counts.Fragments, counts.Lost}
	text := "\n" + sum.Text()
	if counts != (sniff.Counts{}) {
		text += fmt.Sprintf("not heard: fragments: %d, packets that came too fast: %d\n", counts.Fragments, counts.Lost)
	}
	s.write("summary", sum, text)
}

// tapCounts are the counts of all taps, also of those that are no more.
func (s *shadow) tapCounts() sniff.Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.counts
	for _, t := range s.taps {
		sum = add(sum, t.Counts())
	}
	return sum
}

// write writes one thing in the format that is asked for. Without a reader
// there is nothing more to do.
func (s *shadow) write(kind string, thing any, text string) {
	octets := []byte(text)
	if s.options.format == "json" {
		line, err := json.Marshal(map[string]any{kind: thing})
		if err != nil {
			s.failed = fmt.Errorf("writing the report: %w", err)
			return
		}
		octets = append(line, '\n')
	}
	if _, err := s.out.Write(octets); err != nil {
		s.failed = fmt.Errorf("writing the report: %w", err)
	}
}
