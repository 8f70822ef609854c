package main

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/gopacket/gopacket/macs"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

const unknownHelp = `List every machine that was heard and that SMD does not know, the one heard last
first.

--format yaml is for SMD: interfaces to edit and to post with OpenCHAMI's command
ochami, and with --components the components that go before them:

  coresmd unknown --format yaml --components >components.yaml
  coresmd unknown --format yaml >interfaces.yaml
  ochami smd component add -f yaml -d @components.yaml
  ochami smd iface add -f yaml -d @interfaces.yaml

Put an xname in the place of each XNAME, in both files, and an address in the place
of each ADDRESS; take out machines that are not yours.`

func unknownVerb(e *env) *cobra.Command {
	components := false
	c := &cobra.Command{
		Use: "unknown", Short: "List machines that were heard and that SMD does not know", Long: unknownHelp, Args: cobra.NoArgs,
		Example: "  coresmd unknown\n  coresmd unknown --format yaml >interfaces.yaml",
		RunE:    func(c *cobra.Command, _ []string) error { return e.unknown(c, components) },
	}
	c.Flags().BoolVar(&components, "components", false, "with --format yaml: the components, not the interfaces")
	return c
}

// strangers are what unknown prints as JSON.
type strangers struct {
	Machines []stranger `json:"machines"`
	Total    int        `json:"total"` // of all, also of those left out
}

// A stranger is a machine that SMD does not know.
type stranger struct {
	MAC       string    `json:"mac"`
	Vendor    string    `json:"vendor,omitempty"` // of the MAC, by the list of the IEEE
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Address   string    `json:"address,omitempty"` // temporary
	Giaddr    string    `json:"giaddr,omitempty"`
	CircuitID string    `json:"circuit_id,omitempty"` // option 82.1
	RemoteID  string    `json:"remote_id,omitempty"`  // option 82.2
	Class     string    `json:"class,omitempty"`      // option 60
	Arch      string    `json:"arch,omitempty"`       // option 93
	Hostname  string    `json:"hostname,omitempty"`   // that it calls itself
}

func (e *env) unknown(c *cobra.Command, components bool) error {
	from, err := e.answers()
	if err != nil {
		return err
	}
	var heard status.Unknown
	if err := from.Get(c.Context(), status.PathUnknown, status.Params{"limit": everything}, &heard); err != nil {
		return err
	}
	answer := strangers{Machines: make([]stranger, len(heard.Machines)), Total: heard.Total}
	for i, h := range heard.Machines {
		answer.Machines[i] = stranger{h.MAC, vendorOf(h.MAC), h.First, h.Last, h.Address, h.Giaddr, h.CircuitID, h.RemoteID, h.Class, h.Arch, h.Hostname}
	}
	if e.format == "yaml" {
		return e.forSMD(answer.Machines, components)
	}
	return e.print(answer, func(p *page) { p.strangers(&answer, time.Now()) })
}

// vendorOf names who made an interface. An address that somebody made up has
// none.
func vendorOf(text string) string {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) < 3 {
		return ""
	}
	return macs.ValidMACPrefixMap[[3]byte(mac[:3])]
}

func (p *page) strangers(a *strangers, now time.Time) {
	if len(a.Machines) == 0 {
		p.line("SMD knows every machine that was heard")
		return
	}
	rows := [][]string{{"MAC", "VENDOR", "FIRST", "LAST", "ADDRESS", "GIADDR", "PORT", "ARCH", "CLASS"}}
	for _, m := range a.Machines {
		rows = append(rows, []string{
			m.MAC, m.Vendor, ago(now.Sub(m.First)), ago(now.Sub(m.Last)), m.Address, m.Giaddr, join(" ", m.CircuitID, m.RemoteID), m.Arch, m.Class,
		})
	}
	p.rows(func(string) string { return "" }, rows...)
	if left := a.Total - len(a.Machines); left > 0 {
		p.line("and %d more", left)
	}
}

// An ethernetInterface and a component are what SMD takes. A word in capitals is
// to be put in by the administrator: SMD refuses it as it stands.
type ethernetInterface struct {
	MACAddress  string              `yaml:"MACAddress"`
	ComponentID string              `yaml:"ComponentID"`
	Description string              `yaml:"Description"`
	IPAddresses []map[string]string `yaml:"IPAddresses"`
}

type component struct {
	ID    string `yaml:"ID"`
	State string `yaml:"State"`
	NID   string `yaml:"NID,omitempty"`
}

// forSMD writes what ochami posts to SMD.
func (e *env) forSMD(machines []stranger, components bool) error {
	interfaces, comps := &yaml.Node{Kind: yaml.SequenceNode}, &yaml.Node{Kind: yaml.SequenceNode}
	for i, m := range machines {
		name, nid := fmt.Sprintf("XNAME-%d", i+1), ""
		if strings.HasPrefix(m.Class, "PXEClient") || strings.HasPrefix(m.Class, "HTTPClient") || m.Arch != "" {
			nid = "NUMBER" // it boots: a node
		}
		err := add(interfaces, m, ethernetInterface{m.MAC, name, join(", ", m.Vendor, m.Hostname), []map[string]string{{"IPAddress": "ADDRESS"}}})
		if err == nil {
			err = add(comps, m, component{name, "On", nid})
		}
		if err != nil {
			return err
		}
	}
	document := interfaces
	if components {
		document = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: "Components"}, comps}}
	}
	text, err := encodeYAML(document)
	if err == nil {
		_, err = e.stdout.Write(text)
	}
	return err
}

// add appends a record, below a comment that says what is known of its machine.
func add(to *yaml.Node, m stranger, record any) error {
	var n yaml.Node
	if err := n.Encode(record); err != nil {
		return err
	}
	n.HeadComment = harmless(join(", ", m.MAC, m.Vendor, "heard "+m.First.Format(time.RFC3339)+" to "+m.Last.Format(time.RFC3339), m.Address,
		prefixed("giaddr ", m.Giaddr), prefixed("port ", join(" ", m.CircuitID, m.RemoteID)), m.Class, prefixed("arch ", m.Arch)))
	to.Content = append(to.Content, &n)
	return nil
}
