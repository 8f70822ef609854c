package audit

import "github.com/prometheus/client_golang/prometheus"

// Metric counts what the file lacks.
func (l *Log) Metric() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "coresmd_audit_lost_total", Help: "Lines that the audit file lacks, since it could not be written in time."},
		func() float64 { return float64(l.Lost()) })
}
