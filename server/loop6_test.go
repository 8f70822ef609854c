package server

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// message6 is a message of a client; the reply to it has an IA_NA.
func message6(t testing.TB, kind dhcpv6.MessageType, with ...dhcpv6.Modifier) *dhcpv6.Message {
	t.Helper()
	m, err := dhcpv6.NewMessage(with...)
	if err != nil {
		t.Fatal(err)
	}
	m.MessageType, m.TransactionID = kind, dhcpv6.TransactionID{1, 2, byte(kind)}
	m.AddOption(dhcpv6.OptClientID(&dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}))
	return m
}

func solicit(t testing.TB, with ...dhcpv6.Modifier) *dhcpv6.Message {
	return message6(t, dhcpv6.MessageTypeSolicit, with...)
}

// ia is a link that gives everybody an IA_NA.
func ia(_, resp dhcpv6.DHCPv6, _ process.Origin) (dhcpv6.DHCPv6, bool) {
	resp.AddOption(&dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 1}, T1: time.Minute})
	return resp, true
}

func receive6(t *testing.T, conn net.Conn) dhcpv6.DHCPv6 {
	t.Helper()
	m, err := dhcpv6.FromBytes(receiveOctets(t, conn))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every message of a client that a server answers gets to the chain, DECLINE too.
func TestKinds6(t *testing.T) {
	t.Parallel()
	lt := startLoop(t, chains{v6: []link6{ia}})
	for name, c := range map[string]struct {
		msg  *dhcpv6.Message
		want dhcpv6.MessageType
	}{
		"solicit":             {solicit(t), dhcpv6.MessageTypeAdvertise},
		"solicit rapid":       {solicit(t, dhcpv6.WithRapidCommit), dhcpv6.MessageTypeReply},
		"request":             {message6(t, dhcpv6.MessageTypeRequest), dhcpv6.MessageTypeReply},
		"confirm":             {message6(t, dhcpv6.MessageTypeConfirm), dhcpv6.MessageTypeReply},
		"renew":               {message6(t, dhcpv6.MessageTypeRenew), dhcpv6.MessageTypeReply},
		"rebind":              {message6(t, dhcpv6.MessageTypeRebind), dhcpv6.MessageTypeReply},
		"release":             {message6(t, dhcpv6.MessageTypeRelease), dhcpv6.MessageTypeReply},
		"decline":             {message6(t, dhcpv6.MessageTypeDecline), dhcpv6.MessageTypeReply},
		"information-request": {message6(t, dhcpv6.MessageTypeInformationRequest), dhcpv6.MessageTypeReply},
	} {
		send(t, lt.v6, c.msg.ToBytes())
		want := &dhcpv6.Message{MessageType: c.want, TransactionID: c.msg.TransactionID}
		want.AddOption(c.msg.GetOneOption(dhcpv6.OptionClientID))
		if name == "solicit rapid" {
			dhcpv6.WithRapidCommit(want)
		}
		ia(nil, want, process.Origin{})
		if diff := cmp.Diff(want.Summary(), receive6(t, lt.v6).Summary()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What says nothing does not leave; nor does what answers a message that is no
// client's.
func TestEndOfChain6(t *testing.T) {
	t.Parallel()
	lt := startLoop(t, chains{v6: []link6{func(req, resp dhcpv6.DHCPv6, from process.Origin) (dhcpv6.DHCPv6, bool) {
		msg := req.(*dhcpv6.Message)
		resp.AddOption(dhcpv6.OptDNS(net.ParseIP("2001:db8::53")))
		switch {
		case msg.Type() == dhcpv6.MessageTypeConfirm:
			return nil, true
		case msg.Type() == dhcpv6.MessageTypeRenew:
			return ia(req, resp, from)
		}
		return resp, false
	}}})
	nobody := message6(t, dhcpv6.MessageTypeRequest)
	nobody.Options.Del(dhcpv6.OptionClientID)
	anonymous := message6(t, dhcpv6.MessageTypeInformationRequest, dhcpv6.WithRequestedOptions(dhcpv6.OptionDNSRecursiveNameServer))
	anonymous.Options.Del(dhcpv6.OptionClientID)
	for _, m := range []*dhcpv6.Message{
		solicit(t), message6(t, dhcpv6.MessageTypeConfirm), message6(t, dhcpv6.MessageTypeReply), nobody,
		message6(t, dhcpv6.MessageTypeInformationRequest), anonymous,
	} {
		send(t, lt.v6, m.ToBytes())
	}
	send(t, lt.v6, []byte{1, 2})
	want := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply, TransactionID: anonymous.TransactionID}
	want.AddOption(dhcpv6.OptDNS(net.ParseIP("2001:db8::53")))
	if diff := cmp.Diff(want.Summary(), receive6(t, lt.v6).Summary()); diff != "" {
		t.Errorf("the first reply, to who asked for DNS (-want +got):\n%s", diff)
	}
	if err := lt.end(); err != nil {
		t.Error(err)
	}
	got := make(map[reason]float64)
	for r, c := range lt.metrics.v6.dropped {
		if n := value(c); n > 0 {
			got[r] = n
		}
	}
	if diff := cmp.Diff(map[reason]float64{empty: 2, silence: 1, badType: 1, malformed: 2}, got); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
}

// Two relays get back their envelopes, each with what it must find there.
func TestRelayed6(t *testing.T) {
	t.Parallel()
	lt := startLoop(t, chains{v6: []link6{ia}})
	inner := solicit(t)
	near, err := dhcpv6.EncapsulateRelay(inner, dhcpv6.MessageTypeRelayForward, net.ParseIP("2001:db8:1::1"), net.ParseIP("fe80::1"))
	if err != nil {
		t.Fatal(err)
	}
	near.AddOption(dhcpv6.OptInterfaceID([]byte("port 7")))
	far, err := dhcpv6.EncapsulateRelay(near, dhcpv6.MessageTypeRelayForward, net.ParseIP("2001:db8:2::1"), net.ParseIP("2001:db8:1::1"))
	if err != nil {
		t.Fatal(err)
	}
	far.AddOption(dhcpv6.OptRelayPort(1234))
	far.AddOption(&dhcpv6.OptRemoteID{EnterpriseNumber: 9, RemoteID: []byte("r")})
	send(t, lt.v6, far.ToBytes())

	reply := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeAdvertise, TransactionID: inner.TransactionID}
	reply.AddOption(inner.GetOneOption(dhcpv6.OptionClientID))
	ia(nil, reply, process.Origin{})
	wantNear, _ := dhcpv6.EncapsulateRelay(reply, dhcpv6.MessageTypeRelayReply, net.ParseIP("2001:db8:1::1"), net.ParseIP("fe80::1"))
	wantNear.AddOption(dhcpv6.OptInterfaceID([]byte("port 7")))
	want, _ := dhcpv6.EncapsulateRelay(wantNear, dhcpv6.MessageTypeRelayReply, net.ParseIP("2001:db8:2::1"), net.ParseIP("2001:db8:1::1"))
	want.AddOption(&dhcpv6.OptRemoteID{EnterpriseNumber: 9, RemoteID: []byte("r")})
	want.AddOption(dhcpv6.OptRelayPort(1234))
	if diff := cmp.Diff(fmt.Sprintf("%x", want.ToBytes()), fmt.Sprintf("%x", receiveOctets(t, lt.v6))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
