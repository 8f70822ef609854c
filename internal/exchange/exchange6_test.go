package exchange

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

const mac = "02:00:00:00:00:01"

var (
	we    = dhcptest.LL("02:00:00:00:00:fe")
	named = dhcpv6.WithServerID(we)
)

// through wraps a message in relays.
func through(t *testing.T, d dhcpv6.DHCPv6, relays int) dhcpv6.DHCPv6 {
	for range relays {
		d = dhcptest.Through(t, d, "2001:db8::1", "fe80::1")
	}
	return d
}

func without(code dhcpv6.OptionCode) dhcpv6.Modifier {
	return func(d dhcpv6.DHCPv6) { d.(*dhcpv6.Message).Options.Del(code) }
}

func TestRead6(t *testing.T) {
	t.Parallel()
	type with = []dhcpv6.Modifier
	many := with{}
	for i := range mostIAs + 1 {
		many = append(many, dhcptest.NA(byte(i)))
	}
	for name, c := range map[string]struct {
		kind   dhcpv6.MessageType
		with   with
		relays int
		state  State
		addr   string
		reason string
	}{
		"solicit":                     {dhcpv6.MessageTypeSolicit, with{dhcptest.NA(1)}, 0, Solicit, "", ""},
		"solicit with an address":     {dhcpv6.MessageTypeSolicit, with{dhcptest.NA(1), dhcptest.NA(2, "2001:db8::9")}, 0, Solicit, "2001:db8::9", ""},
		"solicit of no client":        {dhcpv6.MessageTypeSolicit, with{without(dhcpv6.OptionClientID)}, 0, Solicit, "", "no client identifier"},
		"solicit to a server":         {dhcpv6.MessageTypeSolicit, with{named}, 0, Solicit, "", "a server identifier where none belongs"},
		"request":                     {dhcpv6.MessageTypeRequest, with{named, dhcptest.NA(1, "::", "2001:db8::9")}, 0, Requesting, "2001:db8::9", ""},
		"request to no server":        {dhcpv6.MessageTypeRequest, nil, 0, Requesting, "", "no server identifier"},
		"renew":                       {dhcpv6.MessageTypeRenew, with{named}, 2, Renew, "", ""},
		"renew to no server":          {dhcpv6.MessageTypeRenew, nil, 2, Renew, "", "no server identifier"},
		"rebind":                      {dhcpv6.MessageTypeRebind, nil, 0, Rebind, "", ""},
		"rebind to a server":          {dhcpv6.MessageTypeRebind, with{named}, 0, Rebind, "", "a server identifier where none belongs"},
		"confirm":                     {dhcpv6.MessageTypeConfirm, nil, 0, Confirm, "", ""},
		"confirm to a server":         {dhcpv6.MessageTypeConfirm, with{named}, 0, Confirm, "", "a server identifier where none belongs"},
		"release":                     {dhcpv6.MessageTypeRelease, with{named}, 0, Release, "", ""},
		"release to no server":        {dhcpv6.MessageTypeRelease, nil, 0, Release, "", "no server identifier"},
		"decline":                     {dhcpv6.MessageTypeDecline, with{named}, 0, Decline, "", ""},
		"decline to no server":        {dhcpv6.MessageTypeDecline, nil, 0, Decline, "", "no server identifier"},
		"information-request":         {dhcpv6.MessageTypeInformationRequest, with{without(dhcpv6.OptionClientID)}, 0, InfoRequest, "", ""},
		"information-request, IA":     {dhcpv6.MessageTypeInformationRequest, with{dhcptest.PD(1)}, 0, InfoRequest, "", "an IA where only options are asked for"},
		"advertise":                   {dhcpv6.MessageTypeAdvertise, nil, 0, None, "", "ADVERTISE is no request of a client"},
		"as many relays as there are": {dhcpv6.MessageTypeSolicit, nil, mostRelays, Solicit, "", ""},
		"one relay more":              {dhcpv6.MessageTypeSolicit, nil, mostRelays + 1, None, "", "more than 32 relays"},
		"too many IAs":                {dhcpv6.MessageTypeSolicit, many, 0, Solicit, "", "more than 64 IAs"},
	} {
		r, reason := Read6(through(t, dhcptest.Request6(t, mac, c.kind, c.with...), c.relays))
		if r.State != c.state || reason != c.reason || (r.Addr.IsValid() || c.addr != "") && r.Addr.String() != c.addr {
			t.Errorf("%s: %v of %v, %q; want %v of %v, %q", name, r.State, r.Addr, reason, c.state, c.addr, c.reason)
		}
		if relayed := r.Relay != nil; relayed != (c.relays > 0) {
			t.Errorf("%s: relayed %v", name, relayed)
		}
	}
	answer := through(t, dhcptest.Request6(t, mac, dhcpv6.MessageTypeSolicit), 1).(*dhcpv6.RelayMessage)
	answer.MessageType = dhcpv6.MessageTypeRelayReply
	if _, reason := Read6(answer); reason != "a relay's answer is no request" {
		t.Errorf("a relay's answer: %q", reason)
	}
	if _, reason := Read6(&dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward}); reason != "a relay passed nothing on" {
		t.Errorf("an empty relay message: %q", reason)
	}
}

func TestWhose6(t *testing.T) {
	t.Parallel()
	r, _ := Read6(dhcptest.Request6(t, mac, dhcpv6.MessageTypeRenew, named))
	other := &dhcpv6.DUIDUUID{}
	if r.Elsewhere(we) || !r.Elsewhere(other) || !r.Elsewhere(nil) {
		t.Error("a message that names us is another's, or one that names another is ours")
	}
	r, _ = Read6(dhcptest.Request6(t, mac, dhcpv6.MessageTypeRebind))
	if r.Elsewhere(we) || r.Elsewhere(nil) {
		t.Error("a message that names nobody is another's")
	}
	for to, want := range map[string]bool{"": false, "ff02::1:2": false, "ff05::1:3": false, "2001:db8::1": true, "fe80::1": true} {
		dst, _ := netip.ParseAddr(to)
		if got := r.Unicast(dst); got != want {
			t.Errorf("unicast to %q: %v, want %v", to, got, want)
		}
	}
	r, _ = Read6(through(t, dhcptest.Request6(t, mac, dhcpv6.MessageTypeRebind), 1))
	if r.Unicast(netip.MustParseAddr("2001:db8::1")) {
		t.Error("a relay's message to us is taken for a client's")
	}
}

func TestMac6(t *testing.T) {
	t.Parallel()
	uuid := dhcpv6.WithClientID(&dhcpv6.DUIDUUID{UUID: [16]byte{1}})
	duid := func(d dhcpv6.DUID) dhcpv6.Modifier { return dhcpv6.WithClientID(d) }
	hw := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	const none = "neither relay, client identifier nor link-local address tell one"
	for name, c := range map[string]struct {
		client dhcpv6.Modifier
		relay  func(dhcpv6.DHCPv6) dhcpv6.DHCPv6 // nil: none
		peer   string
		want   string
		reason string
	}{
		"LL":               {duid(dhcptest.LL("02:00:00:00:00:07")), nil, "", "02:00:00:00:00:07", ""},
		"LLT":              {duid(&dhcpv6.DUIDLLT{HWType: iana.HWTypeEthernet, LinkLayerAddr: hw}), nil, "", "02:00:00:00:00:07", ""},
		"InfiniBand":       {duid(&dhcpv6.DUIDLL{HWType: iana.HWTypeInfiniband, LinkLayerAddr: hw}), nil, "", "", none},
		"five octets":      {duid(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: hw[:5]}), nil, "", "", none},
		"zero":             {duid(dhcptest.LL("00:00:00:00:00:00")), nil, "", "", none},
		"multicast":        {duid(dhcptest.LL("03:00:00:00:00:01")), nil, "", "", none},
		"UUID":             {uuid, nil, "", "", none},
		"no identifier":    {without(dhcpv6.OptionClientID), nil, "", "", none},
		"EUI-64":           {uuid, nil, "fe80::ff:fe00:8", "02:00:00:00:00:08", ""},
		"random address":   {uuid, nil, "fe80::1234:5678:9abc:def0", "", none},
		"global EUI-64":    {uuid, nil, "2001:db8::ff:fe00:8", "", none},
		"LL before EUI-64": {duid(dhcptest.LL("02:00:00:00:00:07")), nil, "fe80::ff:fe00:8", "02:00:00:00:00:07", ""},
		"relay tells": {duid(dhcptest.LL("02:00:00:00:00:07")), func(d dhcpv6.DHCPv6) dhcpv6.DHCPv6 {
			return dhcptest.Through(t, d, "2001:db8::1", "fe80::1", dhcptest.LinkLayer("02:00:00:00:00:09"))
		}, "", "02:00:00:00:00:09", ""},
		"relay beyond tells of the one before": {uuid, func(d dhcpv6.DHCPv6) dhcpv6.DHCPv6 {
			d = dhcptest.Through(t, d, "2001:db8::1", "fe80::1")
			return dhcptest.Through(t, d, "2001:db8:1::1", "fe80::2", dhcptest.LinkLayer("02:00:00:00:00:09"))
		}, "", "", none},
		"relay's peer": {uuid, func(d dhcpv6.DHCPv6) dhcpv6.DHCPv6 {
			d = dhcptest.Through(t, d, "2001:db8::1", "fe80::ff:fe00:a")
			return dhcptest.Through(t, d, "2001:db8:1::1", "fe80::ff:fe00:b")
		}, "fe80::ff:fe00:c", "02:00:00:00:00:0a", ""},
	} {
		var req dhcpv6.DHCPv6 = dhcptest.Request6(t, mac, dhcpv6.MessageTypeInformationRequest, c.client)
		if c.relay != nil {
			req = c.relay(req)
		}
		r, reason := Read6(req)
		if reason != "" {
			t.Fatalf("%s: %s", name, reason)
		}
		peer, _ := netip.ParseAddr(c.peer)
		got, reason := r.Mac(peer)
		if reason != c.reason || reason == "" && net.HardwareAddr(got[:]).String() != c.want {
			t.Errorf("%s: %v, %q; want %v, %q", name, net.HardwareAddr(got[:]), reason, c.want, c.reason)
		}
	}
}

func TestTimes6(t *testing.T) {
	t.Parallel()
	if got, want := NewTimes6(5*time.Second), (Times6{5 * time.Second, 5 * time.Second, 2 * time.Second, 4 * time.Second}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestRefuse6 has what a client is told that nobody serves.
func TestRefuse6(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind    dhcpv6.MessageType
		with    []dhcpv6.Modifier
		earlier dhcpv6.Modifier
		want    string
	}{
		"solicit":       {dhcpv6.MessageTypeSolicit, []dhcpv6.Modifier{dhcpv6.WithRapidCommit}, nil, "ADVERTISE 1 NoAddrsAvail, 2 NoAddrsAvail, 3 NoPrefixAvail"},
		"file has one":  {dhcpv6.MessageTypeSolicit, []dhcpv6.Modifier{dhcpv6.WithRapidCommit}, dhcptest.NA(1, "2001:db8::9"), "REPLY 1 -2001:db8::9, 2 NoAddrsAvail, 3 NoPrefixAvail"},
		"another IAID":  {dhcpv6.MessageTypeRequest, []dhcpv6.Modifier{named}, dhcptest.NA(9), "REPLY 9, 1 NoAddrsAvail, 2 NoAddrsAvail, 3 NoPrefixAvail"},
		"prefix is out": {dhcpv6.MessageTypeRequest, []dhcpv6.Modifier{named}, dhcptest.PD(3), "REPLY 3, 1 NoAddrsAvail, 2 NoAddrsAvail"},
		"renew":         {dhcpv6.MessageTypeRenew, []dhcpv6.Modifier{named}, nil, "REPLY 1 NoBinding, 2 NoBinding, 3 NoBinding"},
		"rebind":        {dhcpv6.MessageTypeRebind, nil, nil, "REPLY"},
		"confirm":       {dhcpv6.MessageTypeConfirm, nil, nil, "REPLY"},
		"release":       {dhcpv6.MessageTypeRelease, []dhcpv6.Modifier{named}, nil, "REPLY Success, 1 NoBinding, 2 NoBinding, 3 NoBinding"},
		"decline":       {dhcpv6.MessageTypeDecline, []dhcpv6.Modifier{named}, nil, "REPLY Success, 1 NoBinding, 2 NoBinding, 3 NoBinding"},
	} {
		req := dhcptest.Request6(t, mac, c.kind, append(c.with, dhcptest.NA(1), dhcptest.TA(2), dhcptest.PD(3))...)
		r, reason := Read6(req)
		prepared, _ := dhcptest.Prepare6(req)
		if reason != "" {
			t.Fatalf("%s: %s", name, reason)
		}
		if c.earlier != nil {
			c.earlier(prepared)
		}
		r.Refuse(prepared.(*dhcpv6.Message))
		if got := words(prepared.(*dhcpv6.Message)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestAnswer6 has what an IA is answered with.
func TestAnswer6(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind  dhcpv6.MessageType
		lists []string
		given string
		want  string
	}{
		"solicit":           {dhcpv6.MessageTypeSolicit, nil, "2001:db8::1", "REPLY 1 2001:db8::1"},
		"hint is ignored":   {dhcpv6.MessageTypeSolicit, []string{"2001:db8::9"}, "2001:db8::1", "REPLY 1 2001:db8::1"},
		"none":              {dhcpv6.MessageTypeSolicit, []string{"2001:db8::9"}, "", "REPLY 1 NoAddrsAvail"},
		"rebind":            {dhcpv6.MessageTypeRebind, []string{"2001:db8::1"}, "2001:db8::1", "REPLY 1 2001:db8::1"},
		"rebind of another": {dhcpv6.MessageTypeRebind, []string{"2001:db8::8", "2001:db8::1", "2001:db8::9"}, "2001:db8::1", "REPLY 1 2001:db8::1 -2001:db8::8 -2001:db8::9"},
		"rebind, none":      {dhcpv6.MessageTypeRebind, []string{"2001:db8::9"}, "", "REPLY 1 -2001:db8::9"},
		"rebind of nothing": {dhcpv6.MessageTypeRebind, nil, "", "REPLY 1 NoAddrsAvail"},
	} {
		req := dhcptest.Request6(t, mac, c.kind, dhcptest.NA(1, c.lists...))
		r, _ := Read6(req)
		given, _ := netip.ParseAddr(c.given)
		reply := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply}
		SetIA(reply, &dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 1}})
		SetIA(reply, r.Answer(req.Options.OneIANA(), given, NewTimes6(time.Hour)))
		if got := words(reply); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// words says in short what a reply holds; a minus means lifetimes of zero.
func words(d *dhcpv6.Message) string {
	var list []string
	for _, o := range d.Options.Options {
		switch o := o.(type) {
		case *dhcpv6.OptStatusCode:
			list = append(list, o.StatusCode.String())
		case *dhcpv6.OptIANA:
			list = append(list, iaWords(o.IaId, o.Options.Options))
		case *dhcpv6.OptIATA:
			list = append(list, iaWords(o.IaId, o.Options.Options))
		case *dhcpv6.OptIAPD:
			list = append(list, iaWords(o.IaId, o.Options.Options))
		}
	}
	return strings.TrimSpace(d.MessageType.String() + " " + strings.Join(list, ", "))
}

func iaWords(id [4]byte, options dhcpv6.Options) string {
	text := string('0' + rune(id[3]))
	for _, o := range options {
		switch o := o.(type) {
		case *dhcpv6.OptStatusCode:
			text += " " + o.StatusCode.String()
		case *dhcpv6.OptIAAddress:
			if text += " "; o.ValidLifetime == 0 && o.PreferredLifetime == 0 {
				text += "-"
			}
			text += o.IPv6Addr.String()
		}
	}
	return text
}

// TestCommit6 turns the reply to a Solicit with rapid commit into an Advertise
// and back.
func TestCommit6(t *testing.T) {
	t.Parallel()
	req := dhcptest.Request6(t, mac, dhcpv6.MessageTypeSolicit, dhcpv6.WithRapidCommit)
	prepared, _ := dhcptest.Prepare6(req)
	d := prepared.(*dhcpv6.Message)
	before := d.Summary()
	r, _ := Read6(req)
	r.Advertise(d)
	if d.MessageType != dhcpv6.MessageTypeAdvertise || d.GetOneOption(dhcpv6.OptionRapidCommit) != nil || r.Verdict(d) != Advertise {
		t.Errorf("advertised: %s", d.Summary())
	}
	r.Commit(d)
	if diff := cmp.Diff(before, d.Summary()); diff != "" || r.Verdict(d) != Reply {
		t.Errorf("committed (-want +got):\n%s", diff)
	}
}

func TestLeaseEvent6(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s     State
		v     Verdict
		given bool
		want  string
	}{
		{Solicit, Advertise, true, ""},
		{Solicit, Reply, true, "given"},
		{Requesting, Reply, true, "given"},
		{Requesting, Reply, false, "refused"},
		{Renew, Reply, true, "renewed"},
		{Rebind, Reply, true, "renewed"},
		{Renew, Reply, false, "refused"},
		{Renew, Pass, false, ""},
		{Release, Reply, false, "released"},
		{Decline, Reply, false, "declined"},
		{Confirm, Reply, false, ""},
		{InfoRequest, Reply, false, ""},
	} {
		if got := LeaseEvent6(c.s, c.v, c.given); got != c.want {
			t.Errorf("%v, %v, %v: %q, want %q", c.s, c.v, c.given, got, c.want)
		}
	}
}

// TestShow6 has what a message shows of a client.
func TestShow6(t *testing.T) {
	t.Parallel()
	req := dhcptest.Request6(t, mac, dhcpv6.MessageTypeSolicit, dhcpv6.WithFQDN(0, "nid0001"), dhcpv6.WithArchType(iana.EFI_X86_64),
		dhcptest.Raw6(dhcpv6.OptionVendorClass, 0, 0, 1, 57, 0, 3, 'P', 'X', 'E'))
	relayed := dhcptest.Through(t, req, "2001:db8::1", "fe80::1", dhcptest.Raw6(dhcpv6.OptionInterfaceID, 'e', '0'), dhcptest.Raw6(dhcpv6.OptionRemoteID, 0, 0, 0, 9, 'r'))
	r, _ := Read6(relayed)
	link := netip.MustParseAddr("2001:db8::1")
	want := Shown{Giaddr: link, Circuit: []byte("e0"), Remote: []byte("r"), Class: []byte("PXE"), Hostname: []byte("nid0001"), Arch: 7, HasArch: true, DUID: r.Client}
	if diff := cmp.Diff(want, r.Show(link), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	wantFields := map[string]any{"message": "SOLICIT", "state": "solicit", "xid": "0xcafe01", "duid": "00:03:00:01:02:00:00:00:00:01"}
	if diff := cmp.Diff(wantFields, r.Fields()); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}
