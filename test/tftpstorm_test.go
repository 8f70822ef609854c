package test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// The full storm: so many machines boot at once over a link of 1 Gbit/s with a switch that keeps
// 512 kB. A smaller one has a link and a switch that are smaller by as much, so that a machine
// gets a block as often.
const (
	fullStorm  = 2000
	fullLink   = 1_000_000_000
	fullBuffer = 512 << 10
	loaderSize = 1 << 20
)

// A count is what came of the machines of a storm.
type count struct {
	mu      sync.Mutex // guards the rest
	booted  map[string]int
	gaveUp  map[string]int
	errs    []error
	longest time.Duration // without a new block
	lost    float64       // packets of all
}

func (c *count) add(l *tftpLoad, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && l.size == loaderSize:
		c.booted[l.name]++
	case errors.Is(err, errGaveUp):
		c.gaveUp[l.name]++
	default:
		c.errs = append(c.errs, fmt.Errorf("%v octets: %w", l.size, err))
	}
	c.longest = max(c.longest, l.gap)
}

// tftpStorm has machines load a loader all at once, with a third of each kind of firmware.
func tftpStorm(t *testing.T, machines int, rate string) *count {
	t.Helper()
	s := newWiring(t)
	loader := make([]byte, loaderSize)
	_, _ = rand.Read(loader)
	if err := os.WriteFile(filepath.Join(s.tftp, "ipxe-x86_64.efi"), loader, 0o644); err != nil {
		t.Fatal(err)
	}
	inventory := dhcptest.Inventory(t, "[]", `{"Components":[]}`)
	server := s.serve("svc_base_uri=file://" + inventory + " snapshot_file=off ipxe_base_uri=http://192.0.2.1:8081 tftp_dir=" + s.tftp + " tftp_rate=" + rate)
	host := s.net.Namespace("machines")
	host.Attach(s.lan, "eth0", dhcptest.MAC(0x300), netip.MustParsePrefix("192.0.2.4/24"))
	s.lan.Shape(strconv.Itoa(fullLink/fullStorm*machines), fullBuffer/fullStorm*machines)
	host.IP("route", "add", "local", stormNet, "dev", "lo")
	s.server.IP("route", "add", stormNet, "via", "192.0.2.4")
	before := server.PeakMemory()
	c := &count{booted: map[string]int{}, gaveUp: map[string]int{}}
	var all sync.WaitGroup
	began := time.Now()
	for n := range machines {
		addr := netip.AddrFrom4([4]byte{198, 18, byte(1 + n/250), byte(1 + n%250)})
		all.Go(func() { c.add(roms[n%len(roms)].load(host, addr, serverIP, "ipxe-x86_64.efi")) })
	}
	all.Wait()
	sent, lost := s.lan.Dropped()
	t.Logf("%d machines, tftp_rate=%s: booted %v, gave up %v in %.1f s; at most %.2f s without a new block; %d packets, %d dropped",
		machines, rate, c.booted, c.gaveUp, time.Since(began).Seconds(), c.longest.Seconds(), sent, lost)
	took := server.PeakMemory() - before
	t.Logf("the server had %d MB before, and took %d kB more for each machine", before>>20, (took>>10)/int64(machines))
	if most := int64(16<<20 + machines*64<<10); took > most && !raced() {
		t.Errorf("the server took %d MB, more than 16 MB and 64 kB for each machine", took>>20)
	}
	for i, err := range c.errs {
		if i < 5 {
			t.Errorf("a machine failed: %v", err)
		}
	}
	c.lost = float64(lost) / float64(sent)
	return c
}

// With the budget of the link all machines boot. Without one, beside it, machines give up.
func TestTFTPStorm(t *testing.T) {
	t.Parallel()
	contrast(t, fullStorm/20)
}

// contrast has machines load from a server with the budget of the link and, at the same time,
// as many from one without.
func contrast(t *testing.T, machines int) {
	t.Helper()
	var with, without *count
	t.Run("storm", func(t *testing.T) {
		t.Run("with the budget", func(t *testing.T) {
			t.Parallel()
			with = tftpStorm(t, machines, budgetFor(machines))
		})
		t.Run("without", func(t *testing.T) {
			t.Parallel()
			without = tftpStorm(t, machines, "off")
		})
	})
	if len(with.gaveUp) != 0 {
		t.Errorf("with the budget: gave up %v", with.gaveUp)
	}
	if with.lost > 0.001 || without.lost < 10*with.lost || len(without.gaveUp) == 0 {
		t.Errorf("%.2f %% of packets got lost with the budget, %.2f %% without; there %v gave up", 100*with.lost, 100*without.lost, without.gaveUp)
	}
}

// budgetFor is the rate of the link of a storm of so many machines.
func budgetFor(machines int) string {
	return fmt.Sprintf("%gMbit", float64(fullLink/fullStorm*machines)/1e6)
}
