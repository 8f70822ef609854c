package load

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

var (
	server = Host{MAC: net.HardwareAddr{2, 0xfe, 0, 0, 1, 1}, Addr: netip.MustParseAddr("192.0.2.1")}
	relays = []Host{
		{MAC: net.HardwareAddr{2, 0xfe, 0, 0, 0, 1}, Addr: netip.MustParseAddr("192.0.2.2")},
		{MAC: net.HardwareAddr{2, 0xfe, 0, 0, 0, 2}, Addr: netip.MustParseAddr("192.0.2.3")},
	}
	base = netip.MustParseAddr("198.51.100.0")
)

// A strict server answers what is sent to a port, as long as it is right. Time
// goes on when nothing is sent.
type strict struct {
	t       *testing.T
	relayed bool
	deaf    int // messages that it does not hear at first
	refuse  int // requests that it answers with a NAK
	give    func(n int) netip.Addr
	heard   map[dhcpv4.MessageType]int

	sent    [][]byte
	replies [][]byte
	clock   time.Duration
}

func newStrict(t *testing.T, relayed bool) *strict {
	return &strict{
		t: t, relayed: relayed, heard: map[dhcpv4.MessageType]int{},
		give: func(n int) netip.Addr { return ip(0xc6336400 + uint32(n)) },
	}
}

func (s *strict) now() time.Duration { return s.clock }
func (s *strict) lost() int          { return 0 }

func (s *strict) frame(size int) ([]byte, error) {
	s.sent = append(s.sent, make([]byte, size))
	return s.sent[len(s.sent)-1], nil
}

func (s *strict) flush() error {
	for _, frame := range s.sent {
		if s.deaf > 0 {
			s.deaf--
			continue
		}
		s.replies = append(s.replies, s.answer(frame))
	}
	s.sent = nil
	return nil
}

func (s *strict) receive(time.Duration) ([][]byte, error) {
	s.clock += time.Millisecond
	replies := s.replies
	s.replies = nil
	return replies, nil
}

// answer looks at a request as closely as it can and answers it.
func (s *strict) answer(frame []byte) []byte {
	s.t.Helper()
	udp := frame[atUDP:]
	if got := fold(sum(frame[atIP:atUDP])); got != 0 {
		s.t.Errorf("checksum of the IP header is off by %x", got)
	}
	if got := fold(sum(frame[atIP+12:atUDP]) + 17 + uint64(len(udp)) + sum(udp)); got != 0 {
		s.t.Errorf("checksum of UDP is off by %x", got)
	}
	req, err := dhcpv4.FromBytes(frame[atDHCP:])
	if err != nil {
		s.t.Fatal(err)
	}
	s.heard[req.MessageType()]++
	n := int(binary.BigEndian.Uint32(req.ClientHWAddr[2:]))
	s.checkHeaders(frame, req, n)
	kind := dhcpv4.MessageTypeOffer
	if req.MessageType() == dhcpv4.MessageTypeRequest {
		kind = dhcpv4.MessageTypeAck
		got := []string{req.RequestedIPAddress().String(), req.ServerIdentifier().String()}
		if diff := cmp.Diff([]string{s.give(n).String(), server.Addr.String()}, got); diff != "" {
			s.t.Errorf("client %d asks for (-want +got):\n%s", n, diff)
		}
		if s.refuse > 0 {
			s.refuse--
			kind = dhcpv4.MessageTypeNak
		}
	}
	reply, err := dhcpv4.NewReplyFromRequest(req, dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(s.give(n).AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server.Addr.AsSlice())))
	if err != nil {
		s.t.Fatal(err)
	}
	return append(append([]byte{}, frame[:atDHCP]...), reply.ToBytes()...)
}

func (s *strict) checkHeaders(frame []byte, req *dhcpv4.DHCPv4, n int) {
	s.t.Helper()
	got := []string{net.HardwareAddr(frame[:6]).String(), net.HardwareAddr(frame[6:12]).String(), net.IP(frame[atIP+12 : atIP+16]).String(), net.IP(frame[atIP+16 : atUDP]).String(), req.GatewayIPAddr.String()}
	want := []string{"ff:ff:ff:ff:ff:ff", req.ClientHWAddr.String(), "0.0.0.0", "255.255.255.255", "0.0.0.0"}
	if s.relayed {
		r := relays[n%2]
		want = []string{server.MAC.String(), r.MAC.String(), r.Addr.String(), server.Addr.String(), r.Addr.String()}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("headers of client %d (-want +got):\n%s", n, diff)
	}
}

// TestBurst has a server that misses some messages and refuses one request: all
// clients have their addresses, and each message is counted.
func TestBurst(t *testing.T) {
	t.Parallel()
	for name, relayed := range map[string]bool{"relayed": true, "direct": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStrict(t, relayed)
			s.deaf, s.refuse = 7, 1
			job := Job{Server: server, Limit: time.Minute, Crowds: []Crowd{{Mode: Burst, Clients: 200, Base: base, Once: true}}}
			if relayed {
				job.Relays = relays
			}
			results, err := run(job, s, s.now)
			if err != nil {
				t.Fatal(err)
			}
			got := results[0]
			if got.Took < retryFirst-retryFuzz || got.Took > retryFirst+retryFuzz+time.Second || got.Worst > got.Took || got.P50 > 100*time.Millisecond {
				t.Errorf("took %v, median %v, worst %v; seven clients ask again after 3 to 5 s", got.Took, got.P50, got.Worst)
			}
			want := Result{Leases: 200, Again: 7, Refused: 1, Took: got.Took, Self: got.Self, Times: got.Times}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[dhcpv4.MessageType]int{dhcpv4.MessageTypeDiscover: 201, dhcpv4.MessageTypeRequest: 201}, s.heard); diff != "" {
				t.Errorf("heard (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDeaf has a server that never answers: the limit ends that.
func TestDeaf(t *testing.T) {
	t.Parallel()
	s := newStrict(t, false)
	s.deaf = 1 << 30
	results, err := run(Job{Server: server, Limit: 30 * time.Second, Crowds: []Crowd{{Mode: Burst, Clients: 10, Base: base, Once: true}}}, s, s.now)
	if err != nil {
		t.Fatal(err)
	}
	// Each asks again after 4 s, 8 s more and 16 s more, give or take one; the third may come too late.
	if r := results[0]; r.Leases != 0 || r.Open != 10 || r.Again < 20 || r.Again > 30 || r.Took != 30*time.Second {
		t.Errorf("%+v", r)
	}
}

// TestTwoCrowds has saturation by machines that are not expected to have certain
// addresses, beside known ones at a fixed rate: only what is in the measured
// time counts.
func TestTwoCrowds(t *testing.T) {
	t.Parallel()
	s := newStrict(t, false)
	s.give = func(n int) netip.Addr { return ip(0xc6336400 + uint32(n)) }
	results, err := run(Job{Server: server, Limit: time.Minute, Crowds: []Crowd{
		{Mode: Window, Window: 3, First: 1000, Clients: 100_000, Once: true, Warm: time.Second, For: time.Second},
		{Mode: Rate, Rate: 50, Clients: 200, Base: base, Warm: time.Second, For: 2 * time.Second},
	}}, s, s.now)
	if err != nil {
		t.Fatal(err)
	}
	// A step of the clock is a millisecond, and a handshake takes two.
	strangers, known := results[0], results[1]
	if strangers.Leases < 1495 || strangers.Leases > 1505 || strangers.Wrong != nil || strangers.P50 != 2*time.Millisecond {
		t.Errorf("strangers: %+v", strangers)
	}
	if known.Leases < 70 || known.Leases > 130 || known.Wrong != nil || known.P50 != 2*time.Millisecond || known.Took != 2*time.Second {
		t.Errorf("known: %+v", known)
	}
}

// A tired server answers only when it is asked a second time what there is, while
// it has something else to do.
type tired struct {
	*strict
	busy func(time.Duration) bool
	odd  bool
}

func (s *tired) receive(wait time.Duration) ([][]byte, error) {
	if s.odd = !s.odd && s.busy(s.clock); s.odd {
		s.clock += time.Millisecond
		return nil, nil
	}
	return s.strict.receive(wait)
}

// TestCycle has known machines beside strangers that come in busy phases only,
// when the server is slower: the times of both kinds of phases are told apart.
func TestCycle(t *testing.T) {
	t.Parallel()
	s := newStrict(t, false)
	cycle := Cycle{Calm: 200 * time.Millisecond, Busy: 300 * time.Millisecond, End: 50 * time.Millisecond}
	slow := &tired{strict: s, busy: func(at time.Duration) bool {
		p, _ := cycle.At(at)
		return p != Calm
	}}
	results, err := run(Job{Server: server, Limit: time.Minute, Cycle: cycle, Crowds: []Crowd{
		{Mode: Rate, Rate: 400, First: 1000, Clients: 100_000, Once: true, For: 5500 * time.Millisecond, Busy: true},
		{Mode: Rate, Rate: 100, Clients: 200, Base: base, For: 5500 * time.Millisecond},
	}}, slow, s.now)
	if err != nil {
		t.Fatal(err)
	}
	strangers, known := results[0], results[1]
	if strangers.Leases < 1100 || strangers.Leases > 1300 || strangers.Calm != (Times{}) { // 400 a second for ten times 300 ms
		t.Errorf("strangers: %+v", strangers)
	}
	if known.Leases < 490 || known.Leases > 610 || known.Calm.P50 != 2*time.Millisecond || known.Busy.P50 != 4*time.Millisecond {
		t.Errorf("known: %+v", known)
	}
}

func TestPhases(t *testing.T) {
	t.Parallel()
	c := Cycle{Calm: 3, Busy: 2, End: 1}
	for at, want := range map[time.Duration]struct {
		phase Phase
		left  time.Duration
	}{-4: {Ending, 4}, 0: {Calm, 3}, 2: {Calm, 1}, 3: {Busy, 2}, 4: {Busy, 1}, 5: {Ending, 1}, 6: {Calm, 3}, 600: {Calm, 3}} {
		if phase, left := c.At(at); phase != want.phase || left != want.left {
			t.Errorf("at %d: %v and %v left, want %+v", at, phase, left, want)
		}
	}
	if phase, left := (Cycle{}).At(7); phase != Ending || left != 0 {
		t.Errorf("without phases: %v and %v left", phase, left)
	}
}

// TestWrong has a server that gives a client another one's address, and one that
// gives two strangers the same.
func TestWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		base netip.Addr
		want []string
	}{
		"known":    {base, []string{"client 1: given 198.51.100.0, its address is 198.51.100.1"}},
		"stranger": {netip.Addr{}, []string{"client 1: given 198.51.100.0, which client 0 has"}},
	} {
		s := newStrict(t, false)
		s.give = func(int) netip.Addr { return base }
		results, err := run(Job{Server: server, Limit: time.Minute, Crowds: []Crowd{{Mode: Burst, Clients: 2, Base: c.base, Once: true}}}, s, s.now)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, results[0].Wrong); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestEcho has what is sent come back: that is two packets for a lease.
func TestEcho(t *testing.T) {
	t.Parallel()
	s := &mirror{}
	results, err := run(Job{Server: server, Relays: relays, Limit: time.Minute, Crowds: []Crowd{{Mode: Burst, Clients: 100, Once: true, Echo: true}}}, s, s.now)
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Leases != 100 || s.count != 200 {
		t.Errorf("%d leases of %d packets", results[0].Leases, s.count)
	}
}

// A mirror sends back what it gets.
type mirror struct {
	strict
	count int
}

func (m *mirror) flush() error {
	m.replies, m.count, m.sent = append(m.replies, m.sent...), m.count+len(m.sent), nil
	return nil
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for want, crowds := range map[string][]Crowd{
		"0 crowds; wanted one or two":                                   nil,
		"0 clients; wanted 1 to 131072":                                 {{Mode: Burst, Once: true}},
		"a burst whose clients have more than one handshake never ends": {{Mode: Burst, Clients: 1}},
		"mode window without handshakes\nmode rate without a rate":      {{Mode: Window, Clients: 1}, {Mode: Rate, Clients: 1}},
		"mode window in busy phases only; wanted rate":                  {{Mode: Window, Window: 1, Clients: 1, Busy: true}},
		`mode "storm"; wanted burst, window or rate`:                    {{Mode: "storm", Clients: 1}},
	} {
		if _, err := Run(Job{Crowds: crowds}); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// FuzzReadReply has frames of all kinds: none may be read past its end.
func FuzzReadReply(f *testing.F) {
	offer, err := newTemplate(dhcpv4.MessageTypeRequest, true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(offer.frame, true)
	f.Add(offer.frame[:atOptions+5], true)
	f.Fuzz(func(t *testing.T, frame []byte, echo bool) {
		if r, ok := readReply(frame, echo); ok && len(r.octets) < 240 {
			t.Errorf("%d octets", len(r.octets))
		}
	})
}
