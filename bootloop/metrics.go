package bootloop

import (
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/prometheus/client_golang/prometheus"
)

// A reason says why a client was not simply given what it asked for.
type reason uint8

const (
	fine reason = iota
	badHardware
	noState
	noServerID
	otherServer
	noPool
	exhausted
	notOffered
	notWritten
	renewal
	claimed
	notOurs
	otherNetwork
	elsewhere
	notLoaded
	released
	declined
	probe
	panicked
)

// reasonNames are the labels of the metrics and the words of the log.
var reasonNames = [...]string{
	fine:         "",
	badHardware:  "hardware address",
	noState:      "request without address and server",
	noServerID:   "no server identifier",
	otherServer:  "another server's",
	noPool:       "no pool for the client's network",
	exhausted:    "pool exhausted",
	notOffered:   "not the offered address, or the offer ended",
	notWritten:   "lease not written",
	renewal:      "renewal of a temporary lease, renew=ack would allow it",
	claimed:      "SMD assigns this address to another machine",
	notOurs:      "an address of a pool that this client has no lease of",
	otherNetwork: "an address outside the client's network",
	elsewhere:    "an address that another server may have given out",
	notLoaded:    "SMD not heard yet, strangers cannot be told from known machines",
	released:     "release",
	declined:     "decline",
	probe:        "health probe",
	panicked:     "panic",
}

func (r reason) String() string { return reasonNames[r] }

// metrics are the counters of DHCPv4. Their children are made once.
type metrics struct {
	requests []prometheus.Counter // by exchange.State
	replies  []prometheus.Counter // by exchange.Verdict
	drops    []prometheus.Counter // by reason
}

func newMetrics(p *process.Process) *metrics {
	requests := p.Counters("bootloop", "requests_total", "DHCPv4 requests by the state of the client.", "state")
	replies := p.Counters("bootloop", "replies_total", "DHCPv4 requests by what became of them.", "type")
	drops := p.Counters("bootloop", "drops_total", "DHCPv4 requests answered with silence, by reason.", "reason")
	m := &metrics{}
	for _, s := range exchange.States() {
		m.requests = append(m.requests, requests.WithLabelValues(s.String()))
	}
	for _, v := range exchange.Verdicts() {
		m.replies = append(m.replies, replies.WithLabelValues(v.String()))
	}
	for _, name := range reasonNames {
		m.drops = append(m.drops, drops.WithLabelValues(name))
	}
	return m
}

func (m *metrics) count(state exchange.State, v exchange.Verdict, why reason) {
	m.requests[state].Inc()
	m.replies[v].Inc()
	if v == exchange.Drop {
		m.drops[why].Inc()
	}
}
