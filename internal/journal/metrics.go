package journal

import "github.com/prometheus/client_golang/prometheus"

// Metrics are those of a journal.
func (j *Journal) Metrics() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "coresmd_journal_machines", Help: "Machines that the journal remembers."},
			func() float64 { return float64(j.Stats().Machines) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "coresmd_journal_lost_total", Help: "Events that the journal did not note, since it was busy."},
			func() float64 { return float64(j.Stats().Lost) }),
	}
}
