package bootloop

import (
	"net"
	"slices"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/prometheus/client_golang/prometheus"
)

// publish shows coresmd's status listener what it tells of this plugin.
func (h *handler4) publish() {
	process.Publish(h.process, "dry run of DHCPv4", h.try)
	process.Publish(h.process, status.PublishedLeases, status.LeaseView(h.view))
	_ = h.process.Registry.Register(poolCollector{h}) // of a second directive the pools are not told
}

// try says what this plugin would make of a request. Nothing changes by it.
func (h *handler4) try(req, resp *dhcpv4.DHCPv4, _ process.Origin) exchange.Dry {
	x := exchange4{req: req, prepared: resp, network: -1, dry: true}
	v, reply := h.answer(&x)
	return exchange.Dry{Verdict: v, Reply: reply, Reason: x.reason()}
}

// view lists leases for the status listener.
func (h *handler4) view(mac [6]byte, limit int) status.Leases {
	answer := status.Leases{Leases: []status.Lease{}, Pools: h.pooled()}
	var leases []lease.Lease
	h.leases.Leases(func(l lease.Lease) bool {
		if mac != ([6]byte{}) && l.MAC != mac {
			return true
		}
		answer.Total++
		if len(leases) < limit {
			leases = append(leases, l)
		}
		return true
	})
	slices.SortFunc(leases, func(a, b lease.Lease) int { return a.Addr.Compare(b.Addr) })
	for _, l := range leases {
		answer.Leases = append(answer.Leases, status.Lease{
			Address: l.Addr.String(), MAC: net.HardwareAddr(l.MAC[:]).String(), Expires: l.Expires, Hostname: l.Hostname, Pool: h.pools[l.Pool].String(),
		})
	}
	return answer
}

// pooled counts the addresses of the pools.
func (h *handler4) pooled() []status.Pool {
	pools := make([]status.Pool, 0, len(h.pools))
	for i, s := range h.leases.Stats() {
		p := status.Pool{Range: h.pools[i].String(), Size: s.Size, Leased: s.Leased, Offered: s.Offered, Quarantined: s.Quarantined, Taken: s.Taken}
		if n := h.networks[h.place[i]]; n.Prefix.IsValid() {
			p.Network = n.Prefix.String()
		}
		pools = append(pools, p)
	}
	return pools
}

// A poolCollector counts the addresses of the pools for Prometheus.
type poolCollector struct{ *handler4 }

func poolDesc() *prometheus.Desc {
	return prometheus.NewDesc("bootloop_pool_addresses", "Addresses of a pool that are not free, by their state.", []string{"pool", "state"}, nil)
}

func sizeDesc() *prometheus.Desc {
	return prometheus.NewDesc("bootloop_pool_size", "Addresses of a pool, all of them.", []string{"pool"}, nil)
}

// Describe implements prometheus.Collector.
func (poolCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- poolDesc()
	ch <- sizeDesc()
}

// Collect implements prometheus.Collector.
func (c poolCollector) Collect(ch chan<- prometheus.Metric) {
	for _, p := range c.pooled() {
		ch <- prometheus.MustNewConstMetric(sizeDesc(), prometheus.GaugeValue, float64(p.Size), p.Range)
		for state, n := range map[string]uint64{"leased": p.Leased, "offered": p.Offered, "quarantined": p.Quarantined, "taken": p.Taken} {
			ch <- prometheus.MustNewConstMetric(poolDesc(), prometheus.GaugeValue, float64(n), p.Range, state)
		}
	}
}
