package compare

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A wire is a pairing with a clock, and what it told.
type wire struct {
	*Pairing
	t     *testing.T
	now   time.Time
	told  strings.Builder
	asked []string // of us
	tally *Tally
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.Local)

// newWire returns a wire beside which we would answer as ours says.
func newWire(t *testing.T, o Options) *wire {
	t.Helper()
	w := &wire{t: t, now: noon, tally: NewTally(noon)}
	o.Tell = func(x *Exchange) { w.told.WriteString(x.Text()); w.tally.Add(x) }
	if o.Ask4 == nil {
		o.Ask4 = w.answer4
	}
	if o.Ask6 == nil {
		o.Ask6 = w.answer6
	}
	w.Pairing = New(o)
	return w
}

// answer4 is a server 192.0.2.1 that gives 02:00:00:00:00:0N 192.0.2.N, of its
// lease times those of an hour, and is silent to N above 100.
func (w *wire) answer4(req *dhcpv4.DHCPv4, d *Datagram) Answer {
	n := req.ClientHWAddr[5]
	w.asked = append(w.asked, fmt.Sprintf("%v %v 50:%v 54:%v giaddr:%v on %s", req.MessageType(), req.ClientHWAddr, req.RequestedIPAddress(), req.ServerIdentifier(), req.GatewayIPAddr, d.Interface))
	kind := dhcpv4.MessageTypeAck
	if req.MessageType() == dhcpv4.MessageTypeDiscover {
		kind = dhcpv4.MessageTypeOffer
	}
	switch {
	case n > 100:
		return Answer{Plugin: "plugin", Reason: "unknown machine"}
	case req.MessageType() == dhcpv4.MessageTypeRelease:
		return Answer{Plugin: "plugin", Reason: "release", ID: "x1"}
	}
	return Answer{V4: reply(w.t, req, kind, "192.0.2.1", fmt.Sprintf("192.0.2.%d", n), dhcpv4.WithLeaseTime(3600)), Plugin: "plugin", ID: fmt.Sprintf("x%d", n)}
}

func reply(t *testing.T, req *dhcpv4.DHCPv4, kind dhcpv4.MessageType, server, addr string, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	all := []dhcpv4.Modifier{
		dhcpv4.WithReply(req), dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(ip(server)), dhcpv4.WithYourIP(ip(addr)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip(server))), dhcpv4.WithGatewayIP(req.GatewayIPAddr),
	}
	d, err := dhcpv4.New(append(all, mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// answer6 is a server that gives 2001:db8::1 to every IA.
func (w *wire) answer6(req dhcpv6.DHCPv6, _ *Datagram) Answer {
	m, err := req.GetInnerMessage()
	if err != nil {
		w.t.Fatal(err)
	}
	var listed []string
	for _, ia := range m.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			listed = append(listed, a.IPv6Addr.String())
		}
	}
	w.asked = append(w.asked, fmt.Sprintf("%v to %v for %v", m.MessageType, m.Options.ServerID(), listed))
	kind := dhcpv6.MessageTypeReply
	if m.MessageType == dhcpv6.MessageTypeSolicit {
		kind = dhcpv6.MessageTypeAdvertise
	}
	if m.Options.ClientID() == nil {
		return Answer{V6: message6(w.t, kind, server), Plugin: "plugin"}
	}
	return Answer{V6: message6(w.t, kind, dhcpv6.OptClientID(m.Options.ClientID()), server, iaNA(1, "2001:db8::1", time.Hour)), Plugin: "plugin", ID: "x1", MAC: "02:00:00:00:00:01"}
}

// see has a datagram pass a second after the one before it.
func (w *wire) see(iface, from, to string, m interface{ ToBytes() []byte }) {
	w.now = w.now.Add(time.Second)
	w.seeNow(iface, from, to, m.ToBytes())
}

func (w *wire) seeNow(iface, from, to string, octets []byte) {
	d := Datagram{Time: w.now, Interface: iface, Index: len(iface), From: netip.MustParseAddrPort(from), To: netip.MustParseAddrPort(to), Payload: octets}
	if iface == "br0" {
		d.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}
	}
	w.Add(d)
}

const (
	client4 = "0.0.0.0:68"
	all4    = "255.255.255.255:67"
	other4  = "192.0.2.9:67"
	back4   = "255.255.255.255:68"
)

func ask(t *testing.T, kind dhcpv4.MessageType, n byte, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	return message4(t, append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, n}), dhcpv4.WithTransactionID(dhcpv4.TransactionID{n, 1, 2, 3}),
	}, mods...)...)
}

func option(o dhcpv4.Option) dhcpv4.Modifier { return dhcpv4.WithOption(o) }

// TestPairing has a whole afternoon on the wire.
func TestPairing(t *testing.T) {
	t.Parallel()
	w := newWire(t, Options{})
	discover, request := dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest
	offer, ack, nak := dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak
	hour, short := dhcpv4.WithLeaseTime(3600), dhcpv4.WithLeaseTime(600)

	// Alike, but for who answers. What was selected of the incumbent is selected of us.
	d := ask(t, discover, 1)
	w.see("br0", client4, all4, d)
	w.see("br0", other4, back4, reply(t, d, offer, "192.0.2.9", "192.0.2.1", hour))
	r := ask(t, request, 1, option(dhcpv4.OptServerIdentifier(ip("192.0.2.9"))), option(dhcpv4.OptRequestedIPAddress(ip("192.0.2.1"))))
	w.see("br0", client4, all4, r)
	w.see("br0", other4, back4, reply(t, r, ack, "192.0.2.9", "192.0.2.1", hour))

	// It renews, in the transaction in which it selected.
	r = ask(t, request, 1, dhcpv4.WithClientIP(ip("192.0.2.1")))
	w.seeNow("br0", "192.0.2.1:68", "192.0.2.9:67", r.ToBytes())
	w.seeNow("br0", other4, "192.0.2.1:68", reply(t, r, ack, "192.0.2.9", "192.0.2.1", short).ToBytes())

	// Another address and lease time, the request sent twice, the offer not seen.
	r = ask(t, request, 2, option(dhcpv4.OptServerIdentifier(ip("192.0.2.9"))), option(dhcpv4.OptRequestedIPAddress(ip("192.0.2.77"))), option(dhcpv4.OptHostName("two")))
	w.see("br0", client4, all4, r)
	r.NumSeconds = 1
	w.see("br0", client4, all4, r)
	w.see("br0", other4, back4, reply(t, r, ack, "192.0.2.9", "192.0.2.77", short, dhcpv4.WithRouter(ip("192.0.2.254"))))

	// Two servers, one of which is like us.
	d = ask(t, discover, 3)
	w.see("br0", client4, all4, d)
	w.see("br0", other4, back4, reply(t, d, offer, "192.0.2.9", "192.0.2.30", hour))
	w.see("br0", "192.0.2.1:67", back4, reply(t, d, offer, "192.0.2.1", "192.0.2.3", hour))
	w.see("br0", other4, back4, reply(t, d, offer, "192.0.2.9", "192.0.2.30", hour)) // once more

	// Only the incumbent; only we; nobody; none is due.
	d = ask(t, discover, 101)
	w.see("br0", client4, all4, d)
	w.see("br0", other4, back4, reply(t, d, offer, "192.0.2.9", "192.0.2.99", hour))
	w.see("br0", client4, all4, ask(t, discover, 4))
	w.see("br0", client4, all4, ask(t, discover, 102))
	w.see("br0", "192.0.2.1:68", "192.0.2.9:67", ask(t, dhcpv4.MessageTypeRelease, 1, dhcpv4.WithClientIP(ip("192.0.2.1"))))

	// A lease goes on here and is refused there.
	r = ask(t, request, 5, dhcpv4.WithClientIP(ip("192.0.2.5")))
	w.see("br0", "192.0.2.5:68", all4, r)
	w.see("br0", other4, back4, reply(t, r, nak, "192.0.2.9", "0.0.0.0", dhcpv4.WithOption(dhcpv4.OptMessage("no"))))
	r = ask(t, request, 6, dhcpv4.WithClientIP(ip("192.0.2.6")))
	w.see("br0", "192.0.2.6:68", "192.0.2.1:67", r)
	w.see("br0", "192.0.2.1:67", "192.0.2.6:68", reply(t, r, ack, "192.0.2.1", "192.0.2.6", hour))

	// A health check of the incumbent is nobody's request, and its answer nobody's.
	r = ask(t, request, 0, dhcpv4.WithClientIP(ip("192.0.2.9")))
	w.see("br0", "192.0.2.1:68", "192.0.2.9:67", r)
	w.seeNow("br0", other4, "192.0.2.1:68", reply(t, r, nak, "192.0.2.9", "0.0.0.0").ToBytes())

	// What does not belong to anything.
	w.see("br0", other4, back4, reply(t, ask(t, discover, 9), offer, "192.0.2.9", "192.0.2.9"))
	w.seeNow("br0", client4, all4, []byte("garbage"))
	w.seeNow("br0", "[fe80::1]:546", "[ff02::1:2]:547", []byte{1})

	// Not awaited.
	w.see("br0", client4, all4, ask(t, discover, 7))
	w.Cut()
	sum := w.tally.Sum(w.now, w.Counts(), func(tell func(string)) {
		for _, id := range []string{"x1", "x1", "x2", "x8"} {
			tell(id)
		}
	})
	dhcptest.Golden(t, "afternoon", w.told.String()+sum.Text())
	want := []string{
		"DISCOVER 02:00:00:00:00:01 50:<nil> 54:<nil> giaddr:0.0.0.0 on br0",
		"REQUEST 02:00:00:00:00:01 50:192.0.2.1 54:192.0.2.1 giaddr:0.0.0.0 on br0",
		"REQUEST 02:00:00:00:00:01 50:<nil> 54:<nil> giaddr:0.0.0.0 on br0",
		"DISCOVER 02:00:00:00:00:02 50:<nil> 54:<nil> giaddr:0.0.0.0 on br0",
		"REQUEST 02:00:00:00:00:02 50:192.0.2.2 54:192.0.2.1 giaddr:0.0.0.0 on br0",
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(w.asked[:5], "\n")); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// TestRelays has both sides of a relay on the wire, and one side only.
func TestRelays(t *testing.T) {
	t.Parallel()
	const relay, server = "192.0.2.254:67", "192.0.2.1:67"
	discover, offer := dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeOffer
	relayed := func(d *dhcpv4.DHCPv4, hops uint8) *dhcpv4.DHCPv4 {
		passed := *d
		passed.GatewayIPAddr, passed.HopCount = ip("198.51.100.254"), hops
		return &passed
	}
	d := ask(t, discover, 1)
	answer := reply(t, relayed(d, 1), offer, "192.0.2.1", "192.0.2.1", dhcpv4.WithLeaseTime(3600))
	for name, c := range map[string]struct {
		see    func(*wire)
		asked  string // of us, at last
		counts Counts
	}{
		"both sides": {func(w *wire) {
			w.see("eth1", client4, all4, d)
			w.see("eth10", relay, server, relayed(d, 1))
			w.see("eth1", client4, all4, d)
			w.see("eth10", server, relay, answer)
			w.see("eth1", relay, back4, answer)
		}, "198.51.100.254 on eth10", Counts{Datagrams: 5, Copies: 3}},
		"the server's side, through two relays": {func(w *wire) {
			w.see("eth10", relay, "192.0.2.253:67", relayed(d, 1))
			w.see("eth10", "192.0.2.253:67", server, relayed(d, 2))
			w.see("eth10", server, relay, answer)
		}, "198.51.100.254 on eth10", Counts{Datagrams: 3, Copies: 1}},
		"the client's side": {func(w *wire) {
			w.see("eth1", client4, all4, d)
			w.see("eth1", relay, back4, answer)
		}, "198.51.100.254 on eth1", Counts{Datagrams: 2}},
	} {
		w := newWire(t, Options{})
		c.see(w)
		w.End(w.now.Add(time.Minute))
		if got := w.told.String(); !strings.HasSuffix(got, " x1 02:00:00:00:00:01 DISCOVER, relay 198.51.100.254: same, OFFER of 192.0.2.1\n") || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %s", name, got)
		}
		if got := w.asked[len(w.asked)-1]; !strings.HasSuffix(got, "giaddr:"+c.asked) {
			t.Errorf("%s: asked %s", name, got)
		}
		if diff := cmp.Diff(c.counts, w.Counts()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A packet on a bridge is seen on its port too, which has no address. It is one
// packet, of the bridge's network.
func TestCopies(t *testing.T) {
	t.Parallel()
	w := newWire(t, Options{})
	d := ask(t, dhcpv4.MessageTypeDiscover, 1)
	w.see("port", client4, all4, d)
	w.seeNow("br0", client4, all4, d.ToBytes())
	w.seeNow("br0", client4, all4, d.ToBytes()) // leaving, and coming
	answer := reply(t, d, dhcpv4.MessageTypeOffer, "192.0.2.1", "192.0.2.1", dhcpv4.WithLeaseTime(3600))
	w.see("br0", "192.0.2.1:67", back4, answer)
	w.seeNow("port", "192.0.2.1:67", back4, answer.ToBytes())
	w.see("br0", client4, all4, d) // it did not hear that
	w.End(w.now.Add(time.Minute))
	if want := "2026-01-02 12:00:01 x1 02:00:00:00:00:01 DISCOVER, 2 times: same, OFFER of 192.0.2.1\n"; w.told.String() != want {
		t.Errorf("%s, want %s", &w.told, want)
	}
	if diff := cmp.Diff(Counts{Datagrams: 6, Copies: 2, Repeated: 1}, w.Counts()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := w.asked[len(w.asked)-1]; !strings.HasSuffix(got, "on br0") {
		t.Errorf("asked %s", got)
	}
}

// A reply that comes too late is none, and one that comes at the last moment is.
func TestWait(t *testing.T) {
	t.Parallel()
	for late, want := range map[time.Duration]string{
		5*time.Second - 1: "2026-01-02 12:00:01 x1 02:00:00:00:00:01 DISCOVER: same, OFFER of 192.0.2.1\n",
		5 * time.Second:   "2026-01-02 12:00:01 x1 02:00:00:00:00:01 DISCOVER: ours only\n    we: OFFER of 192.0.2.1 by plugin\n",
	} {
		w := newWire(t, Options{})
		d := ask(t, dhcpv4.MessageTypeDiscover, 1)
		w.see("br0", client4, all4, d)
		w.now = w.now.Add(late)
		w.seeNow("br0", "192.0.2.1:67", back4, reply(t, d, dhcpv4.MessageTypeOffer, "192.0.2.1", "192.0.2.1", dhcpv4.WithLeaseTime(3600)).ToBytes())
		w.End(w.now.Add(time.Minute))
		if diff := cmp.Diff(want, w.told.String()); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", late, diff)
		}
	}
}

// What is not to be asked as ours is asked as it was sent.
func TestAsIs(t *testing.T) {
	t.Parallel()
	w := newWire(t, Options{AsIs: true})
	w.see("br0", client4, all4, ask(t, dhcpv4.MessageTypeRequest, 1, option(dhcpv4.OptServerIdentifier(ip("192.0.2.9"))), option(dhcpv4.OptRequestedIPAddress(ip("192.0.2.77")))))
	want := []string{"REQUEST 02:00:00:00:00:01 50:192.0.2.77 54:192.0.2.9 giaddr:0.0.0.0 on br0"}
	if diff := cmp.Diff(want, w.asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPairing6(t *testing.T) {
	t.Parallel()
	w := newWire(t, Options{})
	const client, all, incumbent = "[fe80::1]:546", "[ff02::1:2]:547", "[fe80::9]:547"
	own := dhcpv6.OptClientID(&dhcpv6.DUIDUUID{UUID: [16]byte{1}})
	theirs := dhcpv6.OptServerID(&dhcpv6.DUIDUUID{UUID: [16]byte{9}})
	xid := byte(0)
	send := func(kind dhcpv6.MessageType, options ...dhcpv6.Option) *dhcpv6.Message {
		m := message6(t, kind, options...)
		xid++
		m.TransactionID = [3]byte{2: xid}
		w.see("br0", client, all, m)
		return m
	}
	answer := func(req *dhcpv6.Message, kind dhcpv6.MessageType, options ...dhcpv6.Option) {
		m := message6(t, kind, options...)
		m.TransactionID = req.TransactionID
		w.see("br0", incumbent, client, m)
	}
	solicit := send(dhcpv6.MessageTypeSolicit, own, iaNA(1, "2001:db8::77", 0))
	answer(solicit, dhcpv6.MessageTypeAdvertise, own, theirs, iaNA(1, "2001:db8::1", time.Hour))
	request := send(dhcpv6.MessageTypeRequest, own, theirs, iaNA(1, "2001:db8::77", time.Hour))
	answer(request, dhcpv6.MessageTypeReply, own, theirs, iaNA(1, "2001:db8::77", time.Hour))
	info := send(dhcpv6.MessageTypeInformationRequest) // without a DUID
	answer(info, dhcpv6.MessageTypeReply, theirs)

	// Through a relay.
	inner := message6(t, dhcpv6.MessageTypeRebind, own, iaNA(1, "2001:db8::1", time.Hour))
	relay, err := dhcpv6.EncapsulateRelay(inner, dhcpv6.MessageTypeRelayForward, net.ParseIP("2001:db8:1::1"), net.ParseIP("fe80::1"))
	if err != nil {
		t.Fatal(err)
	}
	back := message6(t, dhcpv6.MessageTypeReply, own, theirs, iaNA(1, "2001:db8::1", time.Minute))
	inner.TransactionID, back.TransactionID = [3]byte{7}, [3]byte{7}
	w.see("br0", "[2001:db8:1::1]:547", "[2001:db8::9]:547", relay)
	back6, err := dhcpv6.NewRelayReplFromRelayForw(relay, back)
	if err != nil {
		t.Fatal(err)
	}
	w.see("br0", "[2001:db8::9]:547", "[2001:db8:1::1]:547", back6)
	w.End(w.now.Add(time.Minute))
	dhcptest.Golden(t, "afternoon6", w.told.String())
	want := []string{
		"SOLICIT to <nil> for [2001:db8::77]",
		"REQUEST to DUID-LL{HWType=Ethernet HWAddr=02:00:00:00:00:fe} for [2001:db8::1]",
		"INFORMATION-REQUEST to <nil> for []",
		"REBIND to <nil> for [2001:db8::1]",
	}
	if diff := cmp.Diff(want, w.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// TestUnheard has a wire of which a part is not heard: the ACK to a REQUEST that
// was not is no answer to the DISCOVER of its transaction, unless that was to be
// answered so.
func TestUnheard(t *testing.T) {
	t.Parallel()
	w := newWire(t, Options{})
	d := ask(t, dhcpv4.MessageTypeDiscover, 1)
	w.see("br0", client4, all4, d)
	w.see("br0", other4, back4, reply(t, d, dhcpv4.MessageTypeAck, "192.0.2.9", "192.0.2.1", dhcpv4.WithLeaseTime(3600)))
	rapid := ask(t, dhcpv4.MessageTypeDiscover, 2, raw(80))
	w.see("br0", client4, all4, rapid)
	w.see("br0", other4, back4, reply(t, rapid, dhcpv4.MessageTypeAck, "192.0.2.9", "192.0.2.2", dhcpv4.WithLeaseTime(3600), raw(80)))
	w.End(w.now.Add(time.Minute))
	want := `2026-01-02 12:00:01 x1 02:00:00:00:00:01 DISCOVER: ours only
    we: OFFER of 192.0.2.1 by plugin
2026-01-02 12:00:03 x2 02:00:00:00:00:02 DISCOVER: different
    192.0.2.9: ACK of 192.0.2.2
        53 DHCP Message Type: ACK -> OFFER
    we: OFFER of 192.0.2.2 by plugin
`
	if diff := cmp.Diff(want, w.told.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := w.Counts().Strays; got != 1 {
		t.Errorf("%d replies to nothing, want 1", got)
	}
}

// A storm ends exchanges before their time, and does not grow without bound.
func TestMost(t *testing.T) {
	t.Parallel()
	w := newWire(t, Options{Most: 10})
	for n := range byte(100) {
		w.seeNow("br0", client4, all4, ask(t, dhcpv4.MessageTypeDiscover, n).ToBytes())
	}
	if len(w.open) != 10 || w.queue.Len() != 10 || w.Counts().Early != 90 {
		t.Errorf("%d open, %d queued, %+v", len(w.open), w.queue.Len(), w.Counts())
	}
	o := newOffers(10)
	for n := range byte(100) {
		o.note(string([]byte{n}), &offer{})
		o.note(string([]byte{n, n}), nil)
	}
	if len(o.of) != 10 || o.order.Len() != 10 || o.of[string([]byte{99})] == nil {
		t.Errorf("%d offers, %d in order", len(o.of), o.order.Len())
	}
}

// What is longer than a message is not kept.
func TestLong(t *testing.T) {
	t.Parallel()
	w := newWire(t, Options{})
	long := ask(t, dhcpv4.MessageTypeDiscover, 1).ToBytes()
	w.seeNow("br0", client4, all4, append(long, make([]byte, mostOctets-len(long))...))
	w.seeNow("br0", client4, all4, append(ask(t, dhcpv4.MessageTypeDiscover, 2).ToBytes(), make([]byte, mostOctets)...))
	if diff := cmp.Diff(Counts{Datagrams: 2, Malformed: 1}, w.Counts()); diff != "" || len(w.open) != 1 {
		t.Errorf("%d open, (-want +got):\n%s", len(w.open), diff)
	}
}

func FuzzPairing(f *testing.F) {
	t := &testing.T{}
	d := ask(t, dhcpv4.MessageTypeDiscover, 1)
	f.Add(false, d.ToBytes(), reply(t, d, dhcpv4.MessageTypeOffer, "192.0.2.1", "192.0.2.1").ToBytes())
	solicit := message6(t, dhcpv6.MessageTypeRequest, dhcpv6.OptClientID(&dhcpv6.DUIDUUID{}), server, iaNA(1, "2001:db8::77", 0))
	f.Add(true, solicit.ToBytes(), message6(t, dhcpv6.MessageTypeReply, dhcpv6.OptClientID(&dhcpv6.DUIDUUID{}), server).ToBytes())
	f.Fuzz(func(t *testing.T, six bool, one, two []byte) {
		w := newWire(t, Options{})
		from, to := client4, other4
		if six {
			from, to = "[fe80::1]:546", "[fe80::2]:547"
		}
		for _, octets := range [][]byte{one, two, one} {
			w.seeNow("br0", from, to, octets)
			w.seeNow("br0", to, from, octets)
		}
		w.End(w.now.Add(time.Minute))
		if c := w.Counts(); len(w.open)+len(w.relayed) > 0 || c.Datagrams != 6 {
			t.Errorf("%d open, %d relayed, %+v", len(w.open), len(w.relayed), c)
		}
	})
}
