package coresmd

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/sirupsen/logrus"
)

// BenchmarkFlood has known machines renew while 5,000 strangers a second ask
// and SMD hangs. It reports what known machines wait, without strangers and
// with them.
func BenchmarkFlood(b *testing.B) {
	hang := make(chan struct{})
	smd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("MACAddress") {
			<-hang
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "Components") {
			fmt.Fprint(w, testComponents)
			return
		}
		fmt.Fprint(w, inventoryOf(1))
	}))
	defer smd.Close()
	defer close(hang)
	bench := newBench(b, "svc_base_uri="+smd.URL, "ipxe_base_uri=http://bss", "cache_valid=1h", "snapshot_file=off")
	bench.plugin.log.Logger.SetLevel(logrus.WarnLevel)
	bench.p.ReleaseTaken.Store(true)
	for b.Loop() {
		_, alone := renewals(b, bench)
		stop := flood(b, bench, 5000)
		_, beside := renewals(b, bench)
		passed := stop()
		b.ReportMetric(float64(alone.Microseconds()), "alone-p99-µs")
		b.ReportMetric(float64(beside.Microseconds()), "flood-p99-µs")
		b.ReportMetric(float64(beside)/float64(alone), "ratio")
		b.ReportMetric(float64(passed), "strangers/s")
	}
	b.ReportMetric(0, "ns/op")
}

// renewals returns the median and the 99th percentile of what renewals of a
// known machine take.
func renewals(b *testing.B, bench bench) (p50, p99 time.Duration) {
	b.Helper()
	const rounds = 2000
	took := make([]time.Duration, 0, rounds)
	for range rounds {
		req := dhcptest.Request4(b, node, request, ciaddr("192.0.2.11"))
		began := time.Now()
		reply, _ := dhcptest.Exchange4(b, req, dhcptest.ServerID("192.0.2.1"), bench.handle)
		took = append(took, time.Since(began))
		if got := word(reply, true, "192.0.2.11"); got != "ACK" {
			b.Fatal(got)
		}
		time.Sleep(time.Millisecond)
	}
	slices.Sort(took)
	return took[rounds/2], took[rounds*99/100]
}

// BenchmarkRefresh has a known machine renew while an inventory of 100,000
// machines is read that changes every time, and while nothing is read.
func BenchmarkRefresh(b *testing.B) {
	first, interfaces, whole := largeInventory()
	folder := dhcptest.Inventory(b, first+interfaces+"]", whole)
	bench := newBench(b, "svc_base_uri=file://"+folder, "ipxe_base_uri=http://bss", "cache_valid=1h")
	bench.plugin.log.Logger.SetLevel(logrus.PanicLevel)
	for b.Loop() {
		idle50, idle99 := renewals(b, bench)
		over, polls := make(chan struct{}), 0
		var reader sync.WaitGroup
		reader.Go(func() {
			for ; ; polls++ {
				select {
				case <-over:
					return
				default:
				}
				dhcptest.WriteInventory(b, folder, fmt.Sprintf(`%s,{"MACAddress":"02:03:00:00:00:01","ComponentID":"x1","IPAddresses":[{"IPAddress":"10.200.0.%d"}]}%s]`, first, 1+polls%200, interfaces), whole)
				_ = bench.plugin.cache.Refresh(b.Context())
			}
		})
		busy50, busy99 := renewals(b, bench)
		close(over)
		reader.Wait()
		b.ReportMetric(float64(idle50.Nanoseconds())/1000, "idle-p50-µs")
		b.ReportMetric(float64(busy50.Nanoseconds())/1000, "refresh-p50-µs")
		b.ReportMetric(float64(idle99.Nanoseconds())/1000, "idle-p99-µs")
		b.ReportMetric(float64(busy99.Nanoseconds())/1000, "refresh-p99-µs")
		b.ReportMetric(float64(polls), "polls")
	}
	b.ReportMetric(0, "ns/op")
}

// largeInventory returns an inventory of 100,000 machines and the one of
// inventoryOf(1): the beginning and the end of the interfaces, but for a
// bracket, and all components.
func largeInventory() (first, interfaces, components string) {
	var more, whole strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&more, `,{"MACAddress":"02:02:00:%02x:%02x:%02x","ComponentID":"x%d","IPAddresses":[{"IPAddress":"10.%d.%d.%d"}]}`, i>>16, i>>8&255, i&255, i, 1+i>>16, i>>8&255, i&255)
		fmt.Fprintf(&whole, `,{"ID":"x%d","Type":"Node","NID":%d}`, i, 20_000+i)
	}
	return strings.TrimSuffix(inventoryOf(1), "]"), more.String(), strings.TrimSuffix(testComponents, "]}") + whole.String() + "]}"
}

// flood has strangers ask until it is stopped, which returns how many a second
// there were.
func flood(b *testing.B, bench bench, rate int) (stop func() int) {
	b.Helper()
	began, over := time.Now(), make(chan struct{})
	sent := 0
	var packets, sender sync.WaitGroup
	sender.Go(func() {
		const step = 2 * time.Millisecond
		for tick := time.NewTicker(step); ; {
			select {
			case <-over:
				tick.Stop()
				return
			case <-tick.C:
			}
			for ; sent < int(time.Since(began).Seconds()*float64(rate)); sent++ {
				mac := fmt.Sprintf("02:01:%02x:%02x:%02x:%02x", rand.N(256), rand.N(256), rand.N(256), rand.N(256))
				packets.Go(func() {
					dhcptest.Exchange4(b, dhcptest.Request4(b, mac, discover), dhcptest.ServerID("192.0.2.1"), bench.handle)
				})
			}
		}
	})
	return func() int {
		close(over)
		sender.Wait()
		took := time.Since(began)
		packets.Wait()
		return int(float64(sent) / took.Seconds())
	}
}
