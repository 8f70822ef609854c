//go:build !race

package journal

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestPeak holds the bound: 100,000 machines with full histories, each with
// texts of its own.
func TestPeak(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	j := New(Options{})
	for i := range DefaultMachines {
		mac := MAC{2, 0, byte(i >> 16), byte(i >> 8), byte(i), 1}
		for n := range Events + 2 {
			e := ask(mac, time.Duration(n)*time.Second, fmt.Sprintf("MESSAGE %d", n), "ACK", ipxe)
			e.Addr = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			e.Bootfile = fmt.Sprintf("http://192.0.2.1:8081/boot/v1/bootscript?mac=02:00:%02x:%02x:%02x:01", i>>16, i>>8&255, i&255)
			e.Lease, e.Held, e.Lasts = Given, e.Addr, time.Hour
			e.Reason, e.Detail = "not its address", fmt.Sprint("10.0.0.", n, " is")
			e.Rule = fmt.Sprint("rule ", n)
			e.Shown = Shown{
				Class: []byte("PXEClient:Arch:00007:UNDI:003016"), HasArch: true,
				Circuit: fmt.Appendf(nil, "leaf%02d:swp%02d", i%100, i/100), Remote: fmt.Appendf(nil, "rack%04d", i), Hostname: fmt.Appendf(nil, "nid%06d", i),
			}
			j.note(e)
		}
	}
	used := int64(heap()) - int64(before)
	t.Logf("%d machines: %.1f MB", j.Stats().Machines, float64(used)/1e6)
	if used > 100e6 {
		t.Errorf("%d octets, want at most 100 MB", used)
	}
	m, _ := j.Machine(MAC{2, 0, 0, 1, 2, 1})
	if len(m.Events) != Events || m.Events[0].Message != "MESSAGE 2" || !strings.HasSuffix(m.Events[9].Bootfile, "mac=02:00:00:01:02:01") {
		t.Errorf("%+v", m)
	}
}
