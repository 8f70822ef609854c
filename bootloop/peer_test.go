package bootloop

import (
	"strings"
	"testing"
)

// Requests for addresses of another server with our identifier are left to it, also with
// authoritative=true. Ours, and those of other networks, are answered as ever.
func TestPeerPool(t *testing.T) {
	t.Parallel()
	b := newBench(t, "authoritative=true subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.205 peer_pool=192.0.2.210-192.0.2.215")
	for _, c := range []struct{ what, got, want string }{
		{"SELECTING the peer's", b.say(one, request, server(self), requested("192.0.2.210")), "silence"},
		{"SELECTING the peer's last", b.say(one, request, server(self), requested("192.0.2.215")), "silence"},
		{"SELECTING nobody's", b.say(one, request, server(self), requested("192.0.2.216")), "NAK"},
		{"SELECTING ours, not offered", b.say(one, request, server(self), requested("192.0.2.201")), "NAK"},
		{"INIT-REBOOT with the peer's", b.say(one, request, requested("192.0.2.212")), "silence"},
		{"RENEWING the peer's", b.say(one, request, ciaddr("192.0.2.212")), "silence"},
		{"RENEWING another network's", b.say(one, request, ciaddr("198.51.100.7")), "NAK"},
	} {
		if got, _, _ := strings.Cut(c.got, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
		}
	}
	if got := b.dora(one); !strings.HasPrefix(got, "ACK 192.0.2.20") {
		t.Errorf("a handshake ends in %s, want an ACK of our pool", got)
	}
}

func TestPeerPoolMistakes(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"peer_pool=192.0.2.205-192.0.2.209": "peer_pool 192.0.2.205-192.0.2.209 overlaps pool 192.0.2.200-192.0.2.205; wanted ranges that are split between the servers",
		"peer_pool=192.0.2.209-192.0.2.201": `argument 3 "peer_pool=192.0.2.209-192.0.2.201": peer_pool: pool 192.0.2.209-192.0.2.201 ends before its start; wanted START-END`,
		"peer_pool=2001:db8::1-2001:db8::9": `argument 3 "peer_pool=2001:db8::1-2001:db8::9": peer_pool: pool 2001:db8::1-2001:db8::9 is not IPv4; wanted START-END`,
		"peer_pool=192.0.2.210":             `argument 3 "peer_pool=192.0.2.210": peer_pool: pool "192.0.2.210" is not START-END; wanted START-END`,
	} {
		_, err := parse(strings.Fields("lease_file=/x subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.205 "+words), false)
		if err == nil || err.Error() != "bootloop directive:\n"+want {
			t.Errorf("%s: %v, want %s", words, err, want)
		}
	}
}
