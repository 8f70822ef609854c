package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// same compares exchanges: a time by what it shows.
var same = cmp.Options{
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.EquateApproxTime(0), cmpopts.EquateEmpty(),
}

var eth0 = Interface{"eth0", []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("fe80::1/64")}}

// numbered is an exchange with a number in it, of an ordinary size.
func numbered(n int) *Exchange {
	request := bytes.Repeat([]byte{byte(n)}, 300)
	binary.BigEndian.PutUint64(request, uint64(n))
	return &Exchange{
		Time: time.Unix(1e9, int64(n)), Interface: eth0,
		From: netip.MustParseAddrPort("0.0.0.0:68"), To: netip.MustParseAddrPort("255.255.255.255:67"), Request: request,
		Replied: time.Unix(1e9, int64(n)+1), ReplyFrom: netip.MustParseAddrPort("192.0.2.1:67"), ReplyTo: netip.MustParseAddrPort("192.0.2.11:68"),
		Reply:     bytes.Repeat([]byte{byte(n), 1}, 160),
		Decisions: []Decision{{"coresmd", "passed on", "unknown machine"}, {"bootloop", "OFFER", ""}},
	}
}

func numberOf(x *Exchange) int { return int(binary.BigEndian.Uint64(x.Request)) }

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	all := []*Exchange{
		numbered(1),
		{Time: time.Unix(1e9, 0), V6: true, From: netip.MustParseAddrPort("[fe80::2%eth1]:546"), To: netip.MustParseAddrPort("[ff02::1:2]:547"), Interface: Interface{Name: "eth1"}},
		{Time: time.Unix(1e9, 5), Request: []byte("no message"), Decisions: []Decision{{"coredhcp", "no reply", "malformed"}}},
		{Time: time.Unix(1e9, 6), Request: bytes.Repeat([]byte{7}, 65507), Reply: []byte{}, Replied: time.Unix(1e9, 7)},
	}
	r := New(MinSize)
	for _, x := range all {
		r.Add(x)
	}
	n := 0
	r.Each(func(x *Exchange) bool {
		if diff := cmp.Diff(all[n], x, same); diff != "" {
			t.Errorf("exchange %d (-want +got):\n%s", n, diff)
		}
		if answered := all[n].Reply != nil; answered != (x.Reply != nil) {
			t.Errorf("exchange %d has a reply: %v", n, !answered)
		}
		n++
		return true
	})
	if n != len(all) {
		t.Errorf("%d exchanges, want %d", n, len(all))
	}
}

// TestForgets has a ring that is filled many times over: it holds the last
// exchanges, in their order, in the memory that it may have.
func TestForgets(t *testing.T) {
	const size, last = 8 << 20, 100_000
	before := heap()
	r := New(size)
	for n := range last + 1 {
		r.Add(numbered(n))
	}
	if grown := heap() - before; grown > size+64<<10 {
		t.Errorf("a ring of %d octets takes %d", size, grown)
	}
	next, count := 0, 0
	r.Each(func(x *Exchange) bool {
		n := numberOf(x)
		if count > 0 && n != next {
			t.Errorf("exchange %d follows %d", n, next-1)
		}
		if !bytes.Equal(x.Request, numbered(n).Request) || !bytes.Equal(x.Reply, numbered(n).Reply) {
			t.Fatalf("exchange %d is not what was added", n)
		}
		next, count = n+1, count+1
		return true
	})
	if next != last+1 {
		t.Errorf("the last exchange is %d, want %d", next-1, last)
	}
	// A sixteenth may have been forgotten just now, and a sixteenth is not filled; an
	// eighth is for interfaces.
	if one := 800; count < size/one*3/4 {
		t.Errorf("%d exchanges of less than %d octets are kept in %d", count, one, size)
	}
	oldest, exchanges := r.Oldest()
	if want := time.Unix(1e9, int64(last-count+1)); !oldest.Equal(want) || exchanges != count {
		t.Errorf("oldest %v of %d, want %v of %d", oldest, exchanges, want, count)
	}
	t.Logf("%d exchanges of 620 octets in a ring of %d MiB", count, size>>20)
	runtime.KeepAlive(r)
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestReaderWaitsForNobody has packets recorded while one exchange is looked at:
// they do not wait, what is looked at stays what it is, and the memory that it
// takes more is one segment.
func TestReaderWaitsForNobody(t *testing.T) {
	const size = 8 << 20
	before := heap()
	r := New(size)
	for n := range 50_000 {
		r.Add(numbered(n))
	}
	var visited []int
	r.Each(func(x *Exchange) bool {
		n := numberOf(x)
		visited = append(visited, n)
		if len(visited) > 1 {
			return false
		}
		for more := range 50_000 {
			r.Add(numbered(100_000 + more))
		}
		if diff := cmp.Diff(numbered(n), x, same); diff != "" {
			t.Errorf("exchange %d was overwritten (-want +got):\n%s", n, diff)
		}
		if grown := heap() - before; grown > size+size/segments+64<<10 {
			t.Errorf("a ring of %d octets takes %d while it is read", size, grown)
		}
		return true
	})
	if len(visited) != 2 || visited[1] != visited[0]+1 {
		t.Errorf("visited %v, want the exchange after the first", visited)
	}
	runtime.KeepAlive(r)
}

// TestConcurrently has many who add and many who read: every exchange that is seen
// is whole, and those of one goroutine are in order.
func TestConcurrently(t *testing.T) {
	t.Parallel()
	r := New(MinSize)
	var adders, readers sync.WaitGroup
	done := make(chan struct{})
	for g := range 4 {
		adders.Go(func() {
			for n := range 5000 {
				r.Add(numbered(g<<32 | n))
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for over := false; !over; {
				select {
				case <-done:
					over = true
				default:
				}
				last := map[int]int{}
				r.Each(func(x *Exchange) bool {
					n := numberOf(x)
					if !bytes.Equal(x.Request, numbered(n).Request) || !bytes.Equal(x.Reply, numbered(n).Reply) {
						t.Errorf("exchange %d is not whole", n)
						return false
					}
					if before, ok := last[n>>32]; ok && n <= before {
						t.Errorf("exchange %d after %d", n, before)
					}
					last[n>>32] = n
					return true
				})
			}
		})
	}
	adders.Wait()
	close(done)
	readers.Wait()
}

// TestManyInterfaces has each packet come by an interface of its own.
func TestManyInterfaces(t *testing.T) {
	const size = 1 << 20
	before := heap()
	r := New(size)
	for n := range 100_000 {
		x := numbered(n)
		x.Interface.Name = fmt.Sprintf("veth%d", n)
		r.Add(x)
	}
	if grown := heap() - before; grown > size+64<<10 {
		t.Errorf("a ring of %d octets takes %d", size, grown)
	}
	r.Each(func(x *Exchange) bool {
		if want := fmt.Sprintf("veth%d", numberOf(x)); x.Interface.Name != want {
			t.Errorf("interface %s, want %s", x.Interface.Name, want)
			return false
		}
		return true
	})
	runtime.KeepAlive(r)
}

// TestDecisionsAreBounded has plugins that say too much.
func TestDecisionsAreBounded(t *testing.T) {
	t.Parallel()
	var x Exchange
	for range 100 {
		x.Decide("plugin", "no reply", strings.Repeat("ä", 5000))
	}
	if n, reason := len(x.Decisions), x.Decisions[0].Reason; n != 8 || reason != strings.Repeat("ä", 500) {
		t.Errorf("%d decisions, the reason of the first has %d octets", n, len(reason))
	}
}

func BenchmarkAdd(b *testing.B) {
	r := New(64 << 20)
	x := numbered(1)
	b.ReportAllocs()
	for b.Loop() {
		r.Add(x)
	}
}
