package coresmd

import (
	"maps"
	"sync"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/bootfile"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/version"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// outcomes are those of transfers, for the metrics.
var outcomes = [...]bootfile.Outcome{
	bootfile.Sent, bootfile.Missing, bootfile.Refused, bootfile.Gone, bootfile.Busy, bootfile.Failed, bootfile.Malformed,
}

func (m *metrics) transferred(t bootfile.Transfer) {
	protocol := "tftp"
	if t.HTTP {
		protocol = "http"
	}
	m.transfers[protocol][t.Outcome].Inc()
	m.octets[protocol].Add(float64(max(t.Sent, 0)))
}

// watchProcess registers what every program tells of itself.
func watchProcess(r prometheus.Registerer) {
	build := version.Read()
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "coresmd", Name: "build_info", Help: "1; the build is in the labels.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "goversion": build.GoVersion},
	}, func() float64 { return 1 })
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
}

// A faultCollector counts the faults of the inventory by kind.
type faultCollector struct{ status func() smd.Status }

func faultDesc() *prometheus.Desc {
	return prometheus.NewDesc("coresmd_inventory_faults", "Faults in the inventory, by kind.", []string{"kind"}, nil)
}

// Describe implements prometheus.Collector.
func (faultCollector) Describe(ch chan<- *prometheus.Desc) { ch <- faultDesc() }

// Collect implements prometheus.Collector.
func (c faultCollector) Collect(ch chan<- prometheus.Metric) {
	counts := make(map[smd.Kind]int)
	for _, f := range c.status().Faults {
		counts[f.Kind]++
	}
	for _, kind := range smd.Kinds() {
		ch <- prometheus.MustNewConstMetric(faultDesc(), prometheus.GaugeValue, float64(counts[kind]), string(kind))
	}
}

// certificates are when certificates end, by whose they are.
type certificates struct{ *certificateCollector }

type certificateCollector struct {
	mu   sync.Mutex
	ends map[string]time.Time // guarded by mu
}

func newCertificates(p *process.Process) certificates {
	c := certificates{&certificateCollector{ends: make(map[string]time.Time)}}
	p.Registry.MustRegister(c)
	return c
}

func (c *certificateCollector) seen(whose string, ends time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[whose] = ends
}

func certificateDesc() *prometheus.Desc {
	return prometheus.NewDesc("coresmd_certificate_expiry_timestamp_seconds", "When a certificate ends: that of SMD (smd), of token_url, our client_cert, or the first of ca_cert.", []string{"certificate"}, nil)
}

// Describe implements prometheus.Collector.
func (c *certificateCollector) Describe(ch chan<- *prometheus.Desc) { ch <- certificateDesc() }

// Collect implements prometheus.Collector.
func (c *certificateCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	ends := maps.Clone(c.ends)
	c.mu.Unlock()
	for whose, at := range ends {
		ch <- prometheus.MustNewConstMetric(certificateDesc(), prometheus.GaugeValue, float64(at.Unix()), whose)
	}
}
