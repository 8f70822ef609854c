package bootloop

import (
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// TestRecorded has the decisions of the plugin told to a packet loop that records,
// and on the stock one to coresmd, with the messages.
func TestRecorded(t *testing.T) {
	t.Parallel()
	b := newBench(t, netWords)
	var got []process.Seen
	process.Publish(b.p, process.PublishedRecorder, func(s process.Seen) { got = append(got, s) })
	req, stray := dhcptest.Request4(t, one, discover), dhcptest.Request4(t, two, request, ciaddr("192.0.2.77"))
	ask := func(req *dhcpv4.DHCPv4, from process.Origin) *dhcpv4.DHCPv4 {
		reply, _ := dhcptest.Exchange4(t, req, dhcptest.ServerID(self), earlier(), func(req, resp *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
			return b.plugin.Handle(req, resp, from)
		})
		return reply
	}
	offer := ask(req, process.Origin{})
	ask(stray, process.Origin{})
	ask(stray, process.Origin{Decided: func(plugin, verdict, reason string) {
		got = append(got, process.Seen{Plugin: plugin, Verdict: verdict, Reason: reason})
	}})
	const why = "an address that another server may have given out"
	want := []process.Seen{
		{Request: req, Reply: offer, Plugin: "bootloop", Verdict: "OFFER"},
		{Request: stray, Plugin: "bootloop", Verdict: "no reply", Reason: why},
		{Plugin: "bootloop", Verdict: "no reply", Reason: why},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *dhcpv4.DHCPv4) bool { return a.Summary() == b.Summary() })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
