package coresmd

import (
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/sirupsen/logrus"
)

// newLargeBench starts a plugin with 100,000 machines of SMD, each in the
// journal, as are 1,000 strangers, and a hundred rules.
func newLargeBench(b *testing.B) bench {
	b.Helper()
	first, interfaces, components := largeInventory()
	folder := dhcptest.Inventory(b, first+interfaces+"]", components)
	words := []string{"svc_base_uri=file://" + folder, "ipxe_uri=http://127.0.0.1:1/", "cache_valid=1h", "subnet=10.0.0.0/8", "subnet=192.0.2.0/24"}
	for i := range 99 {
		words = append(words, fmt.Sprintf("rule=id_set:x[%d-%d],hostname:row%d-{id}", 200_000+i, 200_001+i, i))
	}
	large := newBench(b, append(words, "rule=type:Node,hostname:nid{06d}")...)
	large.plugin.log.Logger.SetLevel(logrus.PanicLevel)
	note := func(mac journal.MAC, known bool) {
		large.plugin.journal.Add(journal.Event{MAC: mac, At: time.Now().Add(-time.Hour), Plugin: "coresmd", Message: "DISCOVER", Verdict: "OFFER", Known: known, Boots: true})
		if mac[5] == 0 {
			large.plugin.journal.Settle(b.Context())
		}
	}
	for i := range 100_000 {
		note(journal.MAC{2, 2, 0, byte(i >> 16), byte(i >> 8), byte(i)}, true)
	}
	for i := range 1000 {
		note(journal.MAC{2, 9, 0, 0, byte(i >> 8), byte(i)}, false)
	}
	return large
}

// questions are what an administrator asks, the dearest included: a word that
// stands for nothing is looked for everywhere.
func questions() []string {
	var all []string
	for _, word := range []string{"02:02:00:01:00:07", "x65543", "10.2.0.7", "nid085543", "nothing"} {
		all = append(all, "/api/v1/explain?machine="+url.QueryEscape(word))
	}
	return append(all, "/api/v1/unknown", "/api/v1/faults", "/api/v1/machines", "/api/v1/boots", "/api/v1/status", "/metrics", "/", "/?machine=08554")
}

// BenchmarkQuestions has each question beside 100,000 machines.
func BenchmarkQuestions(b *testing.B) {
	large := newLargeBench(b)
	for _, question := range questions() {
		b.Run(question, func(b *testing.B) {
			for b.Loop() {
				get(b, large, question)
			}
		})
	}
}

// BenchmarkAsked has a known machine renew while nothing is asked and while
// everything is, without a pause. Half of the processors are left to it.
func BenchmarkAsked(b *testing.B) {
	large := newLargeBench(b)
	dhcptest.Exchange4(b, dhcptest.Request4(b, node, dhcpv4.MessageTypeDiscover), dhcptest.ServerID("192.0.2.1"), large.handle)
	for b.Loop() {
		idle50, idle99 := renewals(b, large)
		over, asked := make(chan struct{}), 0
		var reader sync.WaitGroup
		reader.Go(func() {
			for ; ; asked++ {
				select {
				case <-over:
					return
				default:
				}
				get(b, large, questions()[asked%len(questions())])
			}
		})
		busy50, busy99 := renewals(b, large)
		close(over)
		reader.Wait()
		b.ReportMetric(float64(idle50.Nanoseconds())/1000, "idle-p50-µs")
		b.ReportMetric(float64(busy50.Nanoseconds())/1000, "asked-p50-µs")
		b.ReportMetric(float64(idle99.Nanoseconds())/1000, "idle-p99-µs")
		b.ReportMetric(float64(busy99.Nanoseconds())/1000, "asked-p99-µs")
		b.ReportMetric(float64(asked), "questions")
	}
	b.ReportMetric(0, "ns/op")
}
