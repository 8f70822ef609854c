package bootloop

import (
	"encoding/hex"
	"net"
	"slices"
	"sync"

	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/prometheus/client_golang/prometheus"
)

// A view is what the directives of a process tell of their leases.
type view struct {
	mu       sync.Mutex
	services []*service // guarded by mu: in the order of their addresses
}

// publish shows coresmd's status listener what it tells of this plugin.
func (s *service) publish() {
	v, _ := process.Share(s.process, "bootloop view", "", func() (*view, error) {
		v := new(view)
		s.process.Registry.MustRegister(poolCollector{v})
		return v, nil
	})
	v.mu.Lock()
	v.services = append(v.services, s)
	slices.SortStableFunc(v.services, func(a, b *service) int { return a.pools[0].First.Compare(b.pools[0].First) })
	v.mu.Unlock()
	process.Publish(s.process, status.PublishedLeases, status.LeaseView(v.leases))
}

func (v *view) all() []*service {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.services)
}

// leases lists leases for the status listener.
func (v *view) leases(visit func(status.Lease)) []status.Pool {
	if visit == nil {
		return v.pools()
	}
	for _, s := range v.all() {
		s.leases.Entries(func(e lease.Entry) bool {
			visit(s.shown(e))
			return true
		})
	}
	return v.pools()
}

func (s *service) shown(e lease.Entry) status.Lease {
	shown := status.Lease{
		Address: e.Addr.String(), Kind: status.LeaseTemporary, State: e.State.String(), Since: e.Since,
		MAC: net.HardwareAddr(e.MAC[:]).String(), Expires: e.Expires, Hostname: e.Hostname, Pool: s.pools[e.Pool].String(),
	}
	if e.DUID != "" {
		shown.DUID, shown.IAID = net.HardwareAddr(e.DUID).String(), hex.EncodeToString(e.IAID[:])
	}
	if e.MAC == (lease.MAC{}) {
		shown.MAC = ""
	}
	return shown
}

// pools counts the addresses of the pools.
func (v *view) pools() []status.Pool {
	var pools []status.Pool
	for _, s := range v.all() {
		for i, n := range s.leases.Stats() {
			p := status.Pool{Range: s.pools[i].String(), Size: n.Size, Leased: n.Leased, Offered: n.Offered, Quarantined: n.Quarantined, Taken: n.Taken}
			if prefix := s.nets[s.place[i]].Prefix; prefix.IsValid() {
				p.Network = prefix.String()
			}
			pools = append(pools, p)
		}
	}
	return pools
}

// A poolCollector counts the addresses of the pools for Prometheus.
type poolCollector struct{ *view }

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
	for _, p := range c.pools() {
		ch <- prometheus.MustNewConstMetric(sizeDesc(), prometheus.GaugeValue, float64(p.Size), p.Range)
		for state, n := range map[string]uint64{"leased": p.Leased, "offered": p.Offered, "quarantined": p.Quarantined, "taken": p.Taken} {
			ch <- prometheus.MustNewConstMetric(poolDesc(), prometheus.GaugeValue, float64(n), p.Range, state)
		}
	}
}
