package bootloop

import (
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
)

// recorded tells what was made of a request, if packets are recorded.
func (s *service) recorded(x *inquiry, v exchange.Verdict, v6 bool, req, reply process.Message) {
	r := s.recorder()
	if r == nil && x.from.Decided == nil {
		return
	}
	if v == exchange.Drop {
		reply = nil // it may be a nil of its own type
	}
	x.from.Record(r, process.Seen{V6: v6, Request: req, Reply: reply, Plugin: "bootloop", Verdict: v.String(), Reason: x.reason()})
}
