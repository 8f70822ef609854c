package coresmd

import (
	"fmt"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/record"
)

// startRecorder makes room for the last packets, if they are to be recorded. The
// packet loop fills it.
func (s *service) startRecorder() error {
	if s.recordSize == 0 {
		return nil
	}
	ring, err := process.Share(s.process, record.Shared, fmt.Sprintf("record=%dMiB", s.recordSize>>20), func() (*record.Ring, error) {
		return record.New(int(s.recordSize)), nil
	})
	if err != nil {
		return err
	}
	process.Publish(s.process, process.PublishedRecorder, func(seen process.Seen) {
		now := time.Now()
		x := record.Exchange{Time: now, V6: seen.V6, Request: seen.Request.ToBytes()}
		if seen.Reply != nil {
			x.Replied, x.Reply = now, seen.Reply.ToBytes()
		}
		x.Decide(seen.Plugin, seen.Verdict, seen.Reason)
		ring.Add(&x)
	})
	return nil
}

// recorded tells what was made of a request, if packets are recorded. On the stock
// loop what is passed on is the next plugin's to tell.
func (s *service) recorded(x *inquiry, v exchange.Verdict, v6 bool, req, reply process.Message) {
	r := s.recorder()
	if v == exchange.Pass {
		r = nil
	}
	if r == nil && x.from.Decided == nil {
		return
	}
	if v == exchange.Drop {
		reply = nil // it may be a nil of its own type
	}
	x.from.Record(r, process.Seen{V6: v6, Request: req, Reply: reply, Plugin: "coresmd", Verdict: v.String(), Reason: x.reason()})
}

// findRecorder returns what records packets; nil: nothing does.
func (s *service) findRecorder() process.Recorder {
	r, _ := process.Find[process.Recorder](s.process, process.PublishedRecorder)
	return r
}
