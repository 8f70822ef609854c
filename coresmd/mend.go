package coresmd

import (
	"fmt"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
)

// Severities.
const (
	severe   = "error"   // a machine gets no lease
	doubtful = "warning" // it may get a wrong one
	fair     = "info"
)

// severityOf tells how bad a kind of fault is.
func severityOf(k smd.Kind) string {
	switch k {
	case smd.BadRecord, smd.BadMAC, smd.TwiceMAC, smd.NoComponent, smd.NoAddress, smd.SharedAddress, smd.TakenAddress:
		return severe
	}
	return doubtful
}

// fault is a fault of the inventory with what mends it.
func (s *service) fault(f smd.Fault) status.Fault {
	return status.Fault{Severity: severityOf(f.Kind), Kind: string(f.Kind), MAC: f.MAC, ID: f.ID, Reason: f.Reason, Mend: s.mend(f)}
}

// mend is what to type to mend a fault in SMD.
func (s *service) mend(f smd.Fault) string {
	iface := strings.ReplaceAll(strings.ToLower(f.MAC), ":", "")
	base := strings.TrimSuffix(s.smd.Redacted(), "/") + "/hsm/v2"
	patch := func(body string) string {
		return fmt.Sprintf(`curl -X PATCH -d '%s' %s/Inventory/EthernetInterfaces/%s`, body, base, iface)
	}
	remove := fmt.Sprintf(`curl -X DELETE %s/Inventory/EthernetInterfaces/%s`, base, iface)
	switch f.Kind {
	case smd.NoAddress, smd.BadAddress, smd.SharedAddress, smd.TakenAddress:
		return patch(`{"IPAddresses":[{"IPAddress":"ADDRESS"}]}`)
	case smd.NoComponent:
		if f.ID == "" {
			return patch(`{"ComponentID":"XNAME"}`)
		}
		return fmt.Sprintf(`curl -d '{"Components":[{"ID":"%s","State":"On"}]}' %s/State/Components`, f.ID, base)
	case smd.BadNID, smd.TwiceNID:
		return fmt.Sprintf(`curl -X PATCH -d '{"NID":NUMBER}' %s/State/Components/%s/NID`, base, f.ID)
	case smd.TwiceName, smd.SharedName:
		return "a rule with another hostname pattern, or another NID in SMD"
	}
	return remove + ", and post it again with the right MACAddress"
}
