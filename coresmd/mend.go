package coresmd

import (
	"encoding/json"
	"net/url"
	"regexp"
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

// mend is what to type to mend a fault in SMD. A word in capitals is to be put in.
func (s *service) mend(f smd.Fault) string {
	if s.smd.Scheme == "file" {
		return mendInFile(f.Kind) + " in " + s.smd.Path
	}
	iface := interfacePath(f.MAC)
	switch f.Kind {
	case smd.NoAddress, smd.BadAddress, smd.SharedAddress, smd.TakenAddress:
		return s.curl("PATCH", iface, jsonOf(addressed{IPAddresses: addressesOf("ADDRESS")}))
	case smd.NoComponent:
		if f.ID == "" {
			return s.curl("PATCH", iface, jsonOf(addressed{ComponentID: "XNAME"}))
		}
		return s.curl("POST", "/State/Components", jsonOf(map[string]any{"Components": []map[string]string{{"ID": f.ID, "State": "On"}}}))
	case smd.BadNID, smd.TwiceNID:
		return s.curl("PATCH", "/State/Components/"+url.PathEscape(f.ID)+"/NID", `{"NID":NUMBER}`)
	case smd.TwiceName, smd.SharedName:
		return "a rule with another hostname pattern, or another NID in SMD"
	}
	return s.curl("DELETE", iface, "") + "; " + s.curl("POST", interfacesPath, jsonOf(addressed{"MAC", f.ID, addressesOf("ADDRESS")}))
}

// correct is what to type to put another MAC in the place of one that SMD holds.
func (s *service) correct(wrong, right smd.MAC) string {
	if s.smd.Scheme == "file" {
		return mendInFile(smd.BadMAC) + " in " + s.smd.Path
	}
	m := s.cache.Lookup(wrong)
	there := addressed{right.String(), m.ID, addressesOf(texts(m.Addrs)...)}
	return s.curl("DELETE", interfacePath(wrong.String()), "") + "; " + s.curl("POST", interfacesPath, jsonOf(there))
}

// enable is what to type to enable a component in SMD.
func (s *service) enable(id string) string {
	if s.smd.Scheme == "file" {
		return "set Enabled of " + id + " in " + s.smd.Path
	}
	return s.curl("PATCH", "/State/Components/"+url.PathEscape(id)+"/Enabled", `{"Enabled":true}`)
}

// mendInFile says what to do about a kind of fault in an inventory that is a file.
func mendInFile(k smd.Kind) string {
	switch k {
	case smd.NoAddress, smd.BadAddress, smd.SharedAddress, smd.TakenAddress:
		return "give the interface an address of its own"
	case smd.NoComponent:
		return "name its component in ComponentID, or add that to Components"
	case smd.BadNID, smd.TwiceNID:
		return "give the component a NID of its own"
	case smd.TwiceName, smd.SharedName:
		return "use a rule with another hostname pattern, or give it another NID"
	}
	return "put MACAddress right"
}

// addressed is the part of an interface that is mended.
type addressed struct {
	MACAddress  string              `json:"MACAddress,omitempty"`
	ComponentID string              `json:"ComponentID,omitempty"`
	IPAddresses []map[string]string `json:"IPAddresses,omitempty"`
}

func addressesOf(texts ...string) []map[string]string {
	var all []map[string]string
	for _, text := range texts {
		all = append(all, map[string]string{"IPAddress": text})
	}
	return all
}

const interfacesPath = "/Inventory/EthernetInterfaces"

// interfacePath is that of an interface: SMD's id is the MAC without its colons.
func interfacePath(mac string) string {
	return interfacesPath + "/" + url.PathEscape(strings.ReplaceAll(strings.ToLower(mac), ":", ""))
}

func jsonOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error() // maps and strings have none
	}
	return string(text)
}

// curl is a command line for SMD. What SMD holds may be anything: the shell sees
// it as one word.
func (s *service) curl(method, path, body string) string {
	words := []string{"curl"}
	if s.trust.CAFile != "" && s.smd.Scheme == "https" {
		words = append(words, "--cacert", shellWord(s.trust.CAFile))
	}
	if s.trust.TokenFile != "" {
		words = append(words, "-H", `"Authorization: Bearer $(cat `+shellWord(s.trust.TokenFile)+`)"`)
	}
	if method != "POST" {
		words = append(words, "-X", method)
	}
	if body != "" {
		words = append(words, "-d", shellWord(body))
	}
	target := s.smd.JoinPath("hsm/v2", path).Redacted()
	return strings.Join(append(words, shellWord(target)), " ")
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9._:/@%+=-]+$`)

func shellWord(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
