package server

import (
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/prometheus/client_golang/prometheus"
)

// A reason is why a packet, or the reply to it, was dropped. It is a label.
type reason string

const (
	malformed  reason = "malformed"
	tooLong    reason = "too_long"     // longer than any message
	notRequest reason = "not_request"  // op is not BOOTREQUEST
	badType    reason = "message_type" // that no server answers
	tooMany    reason = "in_flight"    // maxFlight were in the chains
	panicked   reason = "panic"
	silence    reason = "silence"    // by a plugin
	noReply    reason = "no_reply"   // RELEASE, DECLINE: never answered
	noAddress  reason = "no_address" // an OFFER or ACK without one
	empty      reason = "empty"      // a DHCPv6 reply that says nothing
	queueFull  reason = "send_queue_full"
	sendFailed reason = "send_failed"
)

var reasons = [...]reason{
	malformed, tooLong, notRequest, badType, tooMany, panicked, silence, noReply, noAddress, empty, queueFull, sendFailed,
}

// A familyMetrics is the counters of DHCPv4 or DHCPv6.
type familyMetrics struct {
	received prometheus.Counter
	sent     prometheus.Counter
	dropped  map[reason]prometheus.Counter
}

// metrics are the counters of the loops of a process.
type metrics struct {
	v4, v6 *familyMetrics
	panics prometheus.Counter
	flight prometheus.Gauge
}

// newMetrics returns the counters of a process: they are made once.
func newMetrics(p *process.Process) *metrics {
	m, _ := process.Share(p, "packet loop", "", func() (*metrics, error) {
		received := p.Counters("dhcp", "packets_received_total", "Datagrams received, by family.", "family")
		sent := p.Counters("dhcp", "packets_sent_total", "Replies sent, by family.", "family")
		dropped := p.Counters("dhcp", "packets_dropped_total", "Packets without a reply, by family and reason.", "family", "reason")
		family := func(name string) *familyMetrics {
			f := &familyMetrics{received.WithLabelValues(name), sent.WithLabelValues(name), make(map[reason]prometheus.Counter)}
			for _, r := range reasons {
				f.dropped[r] = dropped.WithLabelValues(name, string(r))
			}
			return f
		}
		flight := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "dhcp", Name: "packets_in_flight", Help: "Packets in the chains of plugins."})
		p.Registry.MustRegister(flight)
		return &metrics{family("4"), family("6"), p.Counter("dhcp", "panics_total", "Panics that the packet loop contained."), flight}, nil
	})
	return m
}
