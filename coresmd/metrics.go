package coresmd

import (
	"sync/atomic"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/bootfile"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/prometheus/client_golang/prometheus"
)

// A reason says why a machine was not simply given what it asked for.
type reason uint8

const (
	fine reason = iota
	notLoaded
	notInSnapshot
	unknown
	busy
	disabled
	ignored
	badHardware
	noState
	noServerID
	otherServer
	noAddress
	otherNetwork
	released
	conflict
	notIts
	unsure
	probe
	malformed
	unicast
	noneLeft
	notOnLink
	panicked
)

// reasonNames are the labels of the metrics and the words of the log.
var reasonNames = [...]string{
	fine:          "",
	notLoaded:     "inventory never loaded",
	notInSnapshot: "not in the snapshot, SMD not heard yet",
	unknown:       "unknown machine",
	busy:          "too many unknown machines wait for SMD's word",
	disabled:      "SMD says Enabled=false",
	ignored:       "ignored by a rule",
	badHardware:   "hardware address",
	noState:       "request without address and server",
	noServerID:    "no server identifier",
	otherServer:   "another server's",
	noAddress:     "no usable address in SMD",
	otherNetwork:  "no address of the client's network in SMD",
	released:      "release",
	conflict:      "address conflict",
	notIts:        "not its address",
	unsure:        "not its address in the snapshot, SMD not heard yet",
	probe:         "health probe",
	malformed:     "against the protocol",
	unicast:       "sent to this server alone",
	noneLeft:      "no address left for an IA",
	notOnLink:     "not an address of the client's network",
	panicked:      "panic",
}

func (r reason) String() string { return reasonNames[r] }

// metrics are the counters of both families. Their children are made once, so that
// counting costs no lookup.
type metrics struct {
	took     prometheus.Observer
	panics   prometheus.Counter
	declined prometheus.Counter // addresses that machines found in use
	heard    atomic.Int64       // messages, health probes left out
	probes   atomic.Int64
	requests []prometheus.Counter // by exchange.State
	replies  map[exchange.Verdict]prometheus.Counter
	drops    []prometheus.Counter  // by reason
	passed   []prometheus.Counter  // by reason
	pulled   []prometheus.Counter  // by smd.Pulled
	polls    []prometheus.Counter  // by smd.Outcome
	pollTime []prometheus.Observer // by smd.Outcome

	transfers    map[string]map[bootfile.Outcome]prometheus.Counter // by protocol
	octets       map[string]prometheus.Counter                      // by protocol
	certificates certificates
}

func newMetrics(p *process.Process) *metrics {
	requests := p.Counters("coresmd", "requests_total", "Requests by message and by the state of the client.", "message", "state")
	replies := p.Counters("coresmd", "replies_total", "Replies by message type.", "type")
	drops := p.Counters("coresmd", "drops_total", "Requests answered with silence, by reason.", "reason")
	passed := p.Counters("coresmd", "passed_total", "Requests passed to the next plugin, by reason.", "reason")
	pulls := p.Counters("coresmd", "pulls_total", "Requests of machines that the inventory lacks, by what came of asking SMD for them.", "outcome")
	polls := p.Counters("coresmd", "inventory_polls_total", "Looks at the whole inventory of SMD, by outcome.", "outcome")

	pollTime := p.Seconds("coresmd", "inventory_poll_seconds", "Time that a look at the whole inventory of SMD took, by outcome.",
		[]float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}, "outcome")
	transfers := p.Counters("coresmd", "transfers_total", "Requests for boot files, by protocol and outcome.", "protocol", "outcome")
	octets := p.Counters("coresmd", "transfer_bytes_total", "Octets of boot files that clients acknowledged, by protocol.", "protocol")

	m := &metrics{
		replies: make(map[exchange.Verdict]prometheus.Counter), transfers: make(map[string]map[bootfile.Outcome]prometheus.Counter),
		took:         p.Seconds("coresmd", "handler_seconds", "Time that a request took in the plugin.", nil).WithLabelValues(),
		panics:       p.Counter("coresmd", "panics_total", "Panics that were contained."),
		declined:     p.Counter("coresmd", "conflicts_total", "Addresses that machines declined, since somebody else has them."),
		octets:       make(map[string]prometheus.Counter),
		certificates: newCertificates(p),
	}
	for _, protocol := range []string{"tftp", "http"} {
		m.octets[protocol] = octets.WithLabelValues(protocol)
		m.transfers[protocol] = make(map[bootfile.Outcome]prometheus.Counter)
		for _, o := range outcomes {
			m.transfers[protocol][o] = transfers.WithLabelValues(protocol, string(o))
		}
	}
	for _, s := range exchange.States() {
		m.requests = append(m.requests, requests.WithLabelValues(s.Message(), s.String()))
	}
	for _, v := range []exchange.Verdict{exchange.Offer, exchange.Ack, exchange.NakReply, exchange.Advertise, exchange.Reply} {
		m.replies[v] = replies.WithLabelValues(v.String())
	}
	for r := range reasonNames {
		m.drops = append(m.drops, drops.WithLabelValues(reason(r).String()))
		m.passed = append(m.passed, passed.WithLabelValues(reason(r).String()))
	}
	for _, o := range smd.Outcomes() {
		m.polls = append(m.polls, polls.WithLabelValues(o.String()))
		m.pollTime = append(m.pollTime, pollTime.WithLabelValues(o.String()))
	}
	for _, p := range smd.AllPulled() {
		m.pulled = append(m.pulled, pulls.WithLabelValues(p.String()))
	}
	return m
}

// watch registers what is told of the inventory whenever metrics are read.
func watch(r prometheus.Registerer, status func() smd.Status) {
	gauge := func(name, help string, labels prometheus.Labels, value func(smd.Status) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Namespace: "coresmd", Subsystem: "inventory", Name: name, Help: help, ConstLabels: labels},
			func() float64 { return value(status()) }))
	}
	for _, state := range smd.States() {
		gauge("state", "1 for the state that the inventory is in.", prometheus.Labels{"state": state.String()},
			func(s smd.Status) float64 { return one(s.State == state) })
	}
	gauge("doubted", "1 while SMD's last answer is not believed.", nil, func(s smd.Status) float64 { return one(s.Doubted) })
	gauge("machines", "Machines in the inventory.", nil, func(s smd.Status) float64 { return float64(s.Machines) })
	r.MustRegister(faultCollector{status})
	gauge("age_seconds", "Time since SMD was read; -1: never.", nil, func(s smd.Status) float64 {
		if s.Loaded.IsZero() {
			return -1
		}
		return time.Since(s.Loaded).Seconds()
	})
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (m *metrics) count(state exchange.State, v exchange.Verdict, why reason, began time.Time) {
	m.took.Observe(time.Since(began).Seconds())
	if state == exchange.Probe {
		m.probes.Add(1)
	} else {
		m.heard.Add(1)
	}
	m.requests[state].Inc()
	if why == conflict {
		m.declined.Inc()
	}
	switch v {
	case exchange.Pass:
		m.passed[why].Inc()
	case exchange.Drop:
		m.drops[why].Inc()
	default:
		m.replies[v].Inc()
	}
}
