package bootloop

import (
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/prometheus/client_golang/prometheus"
)

// A reason says why a client was not simply given what it asked for.
type reason uint8

const (
	fine reason = iota
	badHardware
	malformed
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
	malformed:    "not a request of a client",
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

// metrics are the counters of both families. Their children are made once.
type metrics struct {
	took     prometheus.Observer
	panics   prometheus.Counter
	requests []prometheus.Counter // by exchange.State
	replies  []prometheus.Counter // by exchange.Verdict
	drops    []prometheus.Counter // by reason

	committed, failed prometheus.Counter
	commitTime        prometheus.Observer
}

func newMetrics(p *process.Process) *metrics {
	requests := p.Counters("bootloop", "requests_total", "Requests by message and by the state of the client.", "message", "state")
	replies := p.Counters("bootloop", "replies_total", "Requests by what became of them.", "type")
	drops := p.Counters("bootloop", "drops_total", "Requests answered with silence, by reason.", "reason")
	commits := p.Counters("bootloop", "lease_commits_total", "Leases written to the lease file or removed from it, by outcome.", "outcome")
	m := &metrics{
		took:       p.Seconds("bootloop", "handler_seconds", "Time that a request took in the plugin, the lease file included.", nil).WithLabelValues(),
		panics:     p.Counter("bootloop", "panics_total", "Panics that were contained."),
		committed:  commits.WithLabelValues("written"),
		failed:     commits.WithLabelValues("failed"),
		commitTime: p.Seconds("bootloop", "lease_commit_seconds", "Time that a commit to the lease file took, of many leases at once.", nil).WithLabelValues(),
	}
	for _, s := range exchange.States() {
		m.requests = append(m.requests, requests.WithLabelValues(s.Message(), s.String()))
	}
	for _, v := range exchange.Verdicts() {
		m.replies = append(m.replies, replies.WithLabelValues(v.String()))
	}
	for _, name := range reasonNames {
		m.drops = append(m.drops, drops.WithLabelValues(name))
	}
	return m
}

func (m *metrics) count(state exchange.State, v exchange.Verdict, why reason, began time.Time) {
	m.took.Observe(time.Since(began).Seconds())
	m.requests[state].Inc()
	m.replies[v].Inc()
	if v == exchange.Drop {
		m.drops[why].Inc()
	}
}

// commit counts a commit to the lease file.
func (m *metrics) commit(c lease.Commit) {
	m.commitTime.Observe(c.Took.Seconds())
	if c.Err != nil {
		m.failed.Add(float64(c.Leases))
		return
	}
	m.committed.Add(float64(c.Leases))
}
