package dhcptest

import (
	"bytes"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A Record is the exchanges of a test as a capture of packets, for coresmd replay:
// testdata/replay/NAME.pcapng. The comment of a request has the name of its golden
// file, and the words of the directive that answered.
type Record struct {
	name string
	want int // groups of exchanges

	mu  sync.Mutex
	all map[string][]*record.Exchange // guarded by mu: by the name of the last one's golden file
}

// NewRecord begins a record of so many golden names. When the test ends it is
// compared with the file, unless not all of them ran.
func NewRecord(tb testing.TB, name string, want int) *Record {
	r := &Record{name: name, want: want, all: make(map[string][]*record.Exchange)}
	tb.Cleanup(func() { r.compare(tb) })
	return r
}

// Leave leaves out a name, which the file has nothing of.
func (r *Record) Leave(name string) { r.add(name, nil) }

// Add4 adds an exchange of DHCPv4; reply may be nil.
func (r *Record) Add4(name, words string, req, reply *dhcpv4.DHCPv4) {
	x := &record.Exchange{Request: req.ToBytes()}
	if reply != nil {
		x.Reply = reply.ToBytes()
	}
	if giaddr, ok := netip.AddrFromSlice(req.GatewayIPAddr.To4()); ok && !giaddr.IsUnspecified() {
		x.From = netip.AddrPortFrom(giaddr, dhcpv4.ServerPort)
		x.ReplyTo = x.From
	}
	x.Decide("golden", name, words)
	r.add(name, x)
}

// A Way is where a request of DHCPv6 came in.
type Way struct {
	From record.Interface
	To   netip.Addr // that it was sent to; invalid: not told
	// Says is what tells whether a reply is sent: one that says nothing is not.
	Says func(req, reply *dhcpv6.Message) bool
}

// Add6 adds an exchange of DHCPv6; reply may be nil.
func (r *Record) Add6(name, words string, way Way, req, reply dhcpv6.DHCPv6) {
	x := &record.Exchange{V6: true, Interface: way.From, Request: req.ToBytes()}
	if way.To.IsValid() {
		x.To = netip.AddrPortFrom(way.To, dhcpv6.DefaultServerPort)
	}
	if reply != nil && way.sends(req, reply) {
		x.Reply = reply.ToBytes()
	}
	x.Decide("golden", name, words)
	r.add(name, x)
}

func (w *Way) sends(req, reply dhcpv6.DHCPv6) bool {
	asked, err := req.GetInnerMessage()
	if err != nil {
		return false
	}
	said, err := reply.GetInnerMessage()
	return err == nil && w.Says(asked, said)
}

func (r *Record) add(name string, x *record.Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[name] = append(r.all[name], x)
}

func (r *Record) compare(tb testing.TB) {
	tb.Helper()
	if len(r.all) != r.want {
		return // -run chose some of them
	}
	var file bytes.Buffer
	w := record.NewWriter(&file, record.Application+" golden exchanges")
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for _, name := range r.names() {
		for _, x := range r.all[name] {
			if x == nil {
				continue
			}
			x.Time, x.Replied = at, at.Add(time.Millisecond)
			if err := w.Write(x); err != nil {
				tb.Fatal(err)
			}
			at = at.Add(10 * time.Second)
		}
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	goldenOctets(tb, filepath.Join("testdata", "replay", r.name+".pcapng"), file.Bytes())
}

func (r *Record) names() []string {
	names := make([]string, 0, len(r.all))
	for name := range r.all {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	return names
}

// goldenOctets is Golden for what is no text.
func goldenOctets(tb testing.TB, path string, got []byte) {
	tb.Helper()
	if want, wrote := golden(tb, path, got); !wrote && !bytes.Equal(want, got) {
		tb.Errorf("%s is not what was exchanged; UPDATE_GOLDEN=1 writes it", path)
	}
}

// InventoryFile compares testdata/replay/NAME.json with an inventory, and writes it
// as Golden does.
func InventoryFile(tb testing.TB, name, interfaces, components string) {
	tb.Helper()
	list := strings.TrimSuffix(strings.TrimPrefix(components, `{"Components":`), "}")
	goldenOctets(tb, filepath.Join("testdata", "replay", name+".json"), []byte(`{"EthernetInterfaces":`+interfaces+`,"Components":`+list+"}\n"))
}
