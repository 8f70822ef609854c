package coresmd

import (
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/google/go-cmp/cmp"
)

// TestMend has what is to be typed for each kind of fault, also where SMD holds
// what a shell would obey. A real SMD is mended in the end-to-end tests.
func TestMend(t *testing.T) {
	t.Parallel()
	base, _ := url.Parse("https://smd.example.org/base/")
	s := &service{config: config{smd: base, trust: smd.Trust{CAFile: "/etc/my ca.pem", TokenFile: "/run/token"}}}
	const ask = `curl --cacert '/etc/my ca.pem' -H "Authorization: Bearer $(cat /run/token)" `
	const at = " https://smd.example.org/base/hsm/v2/"
	const ids = "/Inventory/EthernetInterfaces"
	for name, c := range map[string]struct {
		fault smd.Fault
		want  string
	}{
		"address":   {smd.Fault{Kind: smd.NoAddress, MAC: "02:00:00:00:00:01"}, ask + `-X PATCH -d '{"IPAddresses":[{"IPAddress":"ADDRESS"}]}'` + at + ids[1:] + "/020000000001"},
		"none":      {smd.Fault{Kind: smd.NoComponent, MAC: "02:00:00:00:00:01"}, ask + `-X PATCH -d '{"ComponentID":"XNAME"}'` + at + ids[1:] + "/020000000001"},
		"component": {smd.Fault{Kind: smd.NoComponent, ID: "x1"}, ask + `-d '{"Components":[{"ID":"x1","State":"On"}]}'` + at + "State/Components"},
		"nid":       {smd.Fault{Kind: smd.TwiceNID, ID: "x1"}, ask + `-X PATCH -d '{"NID":NUMBER}'` + at + "State/Components/x1/NID"},
		"name":      {smd.Fault{Kind: smd.TwiceName}, "a rule with another hostname pattern, or another NID in SMD"},
		"mac": {
			smd.Fault{Kind: smd.BadMAC, MAC: "x y", ID: "x1"},
			ask + "-X DELETE" + at + ids[1:] + "/x%20y; " + ask + `-d '{"MACAddress":"MAC","ComponentID":"x1","IPAddresses":[{"IPAddress":"ADDRESS"}]}'` + at + ids[1:],
		},
		"hostile": {
			smd.Fault{Kind: smd.NoComponent, ID: "';reboot;'$(reboot)`reboot`"},
			ask + "-d '{\"Components\":[{\"ID\":\"'\\'';reboot;'\\''$(reboot)`reboot`\",\"State\":\"On\"}]}'" + at + "State/Components",
		},
		"hostile path": {smd.Fault{Kind: smd.TwiceNID, ID: "../;reboot&"}, ask + `-X PATCH -d '{"NID":NUMBER}' 'https://smd.example.org/base/hsm/v2/State/Components/..%2F%3Breboot&/NID'`},
	} {
		if diff := cmp.Diff(c.want, s.mend(c.fault)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(ask+`-X PATCH -d '{"Enabled":true}'`+at+"State/Components/x1/Enabled", s.enable("x1")); diff != "" {
		t.Errorf("enable (-want +got):\n%s", diff)
	}
}

// TestMendFile has a site without SMD.
func TestMendFile(t *testing.T) {
	t.Parallel()
	s := &service{config: config{smd: &url.URL{Scheme: "file", Path: "/inventory"}}}
	for _, kind := range smd.Kinds() {
		if got := s.mend(smd.Fault{Kind: kind, ID: "x1"}); !strings.HasSuffix(got, " in /inventory") || strings.Contains(got, "curl") {
			t.Errorf("%s: %s", kind, got)
		}
	}
	if got := s.enable("x1"); got != "set Enabled of x1 in /inventory" {
		t.Error(got)
	}
}

// TestShellWord has a shell read words back.
func TestShellWord(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"plain-1.2:3/4@5%6+7=8", "", "a b", "'", `"$(reboot)"`, "`x`", "a\nb", `\`, "é", "*", "~", "!!", "-n"} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s. "+shellWord(word)).Output()
		if err != nil || string(out) != word+"." {
			t.Errorf("%q became %q: %v", word, out, err)
		}
	}
}
