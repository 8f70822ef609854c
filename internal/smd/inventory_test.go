package smd

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var comparers = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.IgnoreUnexported(component{})}

const components = `{"Components":[
 {"ID":"x3000c0s0b0n0","Type":"Node","State":"Ready","Flag":"OK","Enabled":true,"Role":"Compute","NID":1,"NetType":"Sling","Arch":"X86","Class":"River"},
 {"ID":"x3000c0s1b0n0","Type":"Node","NID":"0042"},
 {"ID":"x3000c0s2b0n0","Type":"Node","NID":""},
 {"ID":"x3000c0s3b0n0","Type":"Node","NID":"n4"},
 {"ID":"x3000c0s0b0","Type":"NodeBMC"}]}`

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// decodeAll turns both collections into an index.
func decodeAll(interfaces, components string) (Index, []Fault, error) {
	return decodeAfter(nil, interfaces, components)
}

// decodeAfter does so when an index is there already.
func decodeAfter(before Index, interfaces, components string) (Index, []Fault, error) {
	ix, err := decodeAnswer(Answer{NewBody([]byte(interfaces)), NewBody([]byte(components))}, before)
	if err != nil {
		return nil, nil, err
	}
	ix.adopt(nil)
	return ix.index, ix.faults, nil
}

// TestIndex has one interface record a row and what becomes of it.
func TestIndex(t *testing.T) {
	t.Parallel()
	mac := MAC{2, 0, 0, 0xab, 0xcd, 1}
	machine := func(list ...string) Index {
		return Index{mac: {
			MAC: mac, ID: "x3000c0s0b0n0", Type: "Node", NID: 1, HasNID: true, Addrs: addrs(list...),
			Traits: &Traits{Role: "Compute", Class: "River", Arch: "X86", State: "Ready"},
		}}
	}
	prefixed := machine("192.0.2.11")
	prefixed[mac].Prefixes = []netip.Prefix{netip.MustParsePrefix("192.0.2.11/24")}
	const head = `[{"ID":"020000abcd01","MACAddress":"02:00:00:ab:cd:01","ComponentID":"x3000c0s0b0n0","Type":"Node","IPAddresses":`
	for name, c := range map[string]struct {
		records string
		want    Index
		faults  []string
	}{
		"one address":       {head + `[{"IPAddress":"192.0.2.11","Network":"HSN"}]}]`, machine("192.0.2.11"), nil},
		"both families":     {head + `[{"IPAddress":"2001:db8::1"},{"IPAddress":"192.0.2.11"}]}]`, machine("2001:db8::1", "192.0.2.11"), nil},
		"blanks and length": {head + `[{"IPAddress":" 192.0.2.11/24 "}]}]`, prefixed, nil},
		"length of nothing": {head + `[{"IPAddress":"192.0.2.11/99"}]}]`, machine("192.0.2.11"), nil},
		"IPv4 in IPv6":      {head + `[{"IPAddress":"::ffff:192.0.2.11"}]}]`, machine("192.0.2.11"), nil},
		"twice":             {head + `[{"IPAddress":"192.0.2.11"},{"IPAddress":"192.0.2.11"}]}]`, machine("192.0.2.11"), nil},
		"empty list":        {head + `[]}]`, machine(), []string{"no usable address"}},
		"null":              {head + `null}]`, machine(), []string{"no usable address"}},
		"empty address":     {head + `[{"IPAddress":""}]}]`, machine(), []string{"no usable address"}},
		"broken and good":   {head + `[{"IPAddress":"999.1.2.3"},{"IPAddress":"192.0.2.11"}]}]`, machine("192.0.2.11"), []string{`address set aside: "999.1.2.3" is not an IP address`}},
		"of no machine": {head + `[{"IPAddress":"0.0.0.0"},{"IPAddress":"224.0.0.1"},{"IPAddress":"127.0.0.1"},{"IPAddress":"255.255.255.255"},{"IPAddress":"fe80::1%eth0"}]}]`, machine(), []string{
			`address set aside: "0.0.0.0" is not an address of a machine`, `address set aside: "224.0.0.1" is not an address of a machine`,
			`address set aside: "127.0.0.1" is not an address of a machine`, `address set aside: "255.255.255.255" is not an address of a machine`,
			`address set aside: "fe80::1%eth0" is not an IP address`, "no usable address",
		}},
		"upper case, dashes": {strings.Replace(head, "02:00:00:ab:cd:01", "02-00-00-AB-CD-01", 1) + `[{"IPAddress":"192.0.2.11"}]}]`, machine("192.0.2.11"), nil},
		"no separators":      {strings.Replace(head, "02:00:00:ab:cd:01", "020000abcd01", 1) + `[{"IPAddress":"192.0.2.11"}]}]`, machine("192.0.2.11"), nil},
		"no MAC":             {strings.Replace(head, "02:00:00:ab:cd:01", "", 1) + `[]}]`, Index{}, []string{`interface "020000abcd01" set aside: "" is not a MAC address`}},
		"long MAC":           {strings.Replace(head, "02:00:00:ab:cd:01", "02:00:00:ab:cd:01:02", 1) + `[]}]`, Index{}, []string{`interface "020000abcd01" set aside: "02:00:00:ab:cd:01:02" is not a MAC address`}},
		"broadcast MAC":      {strings.Replace(head, "02:00:00:ab:cd:01", "ff:ff:ff:ff:ff:ff", 1) + `[]}]`, Index{}, []string{`interface "020000abcd01" set aside: "ff:ff:ff:ff:ff:ff" is a multicast MAC address`}},
		"no component":       {strings.Replace(head, "x3000c0s0b0n0", "", 1) + `[]}]`, Index{}, []string{"interface set aside: no component"}},
		"missing component":  {strings.Replace(head, "x3000c0s0b0n0", "x9", 1) + `[]}]`, Index{}, []string{"interface set aside: component does not exist"}},
		"record is a number": {`[7,` + head[1:] + `[{"IPAddress":"192.0.2.11"}]}]`, machine("192.0.2.11"), []string{"interface record 1 set aside: json: cannot unmarshal number into Go value of type sm.CompEthInterfaceV2"}},
		"record of bad type": {`[{"MACAddress":7},` + head[1:] + `[{"IPAddress":"192.0.2.11"}]}]`, machine("192.0.2.11"), []string{"interface record 1 set aside: json: cannot unmarshal number into Go struct field CompEthInterfaceV2.MACAddress of type string"}},
		"MAC twice":          {head + `[{"IPAddress":"192.0.2.11"}]},` + head[1:] + `[{"IPAddress":"192.0.2.12"}]}]`, machine("192.0.2.11"), []string{"interface set aside: its MAC address is that of an interface of x3000c0s0b0n0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, faults, err := decodeAll(c.records, components)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, comparers); diff != "" {
				t.Errorf("index (-want +got):\n%s", diff)
			}
			var reasons []string
			for _, f := range faults {
				if f.ID != "x3000c0s3b0n0" { // its NID is a fault of every row
					reasons = append(reasons, f.Reason)
				}
			}
			if diff := cmp.Diff(c.faults, reasons); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestComponents(t *testing.T) {
	t.Parallel()
	got, faults, err := decodeComponents(NewBody([]byte(components)))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]component{
		"x3000c0s0b0n0": {ID: "x3000c0s0b0n0", Type: "Node", NID: 1, HasNID: true, Traits: &Traits{Role: "Compute", Class: "River", Arch: "X86", State: "Ready"}},
		"x3000c0s1b0n0": {ID: "x3000c0s1b0n0", Type: "Node", NID: 42, HasNID: true, Traits: &Traits{}},
		"x3000c0s2b0n0": {ID: "x3000c0s2b0n0", Type: "Node", Traits: &Traits{}},
		"x3000c0s3b0n0": {ID: "x3000c0s3b0n0", Type: "Node", Traits: &Traits{}},
		"x3000c0s0b0":   {ID: "x3000c0s0b0", Type: "NodeBMC", Traits: &Traits{}},
	}
	if diff := cmp.Diff(want, got, comparers); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
	wantFaults := []Fault{{Kind: BadNID, ID: "x3000c0s3b0n0", Reason: `component record 4: NID "\"n4\"" is not a number`}}
	if diff := cmp.Diff(wantFaults, faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// nic returns an interface record.
func nic(mac, id, list string) string {
	return `{"MACAddress":"02:00:00:00:00:` + mac + `","ComponentID":"` + id + `","IPAddresses":[` + list + `]}`
}

// TestPlaces has a node with three interfaces, in two orders: one with an
// address comes first, then the MAC address decides. Its BMC has its number.
func TestPlaces(t *testing.T) {
	t.Parallel()
	const addr = `{"IPAddress":"192.0.2.1%s"}`
	records := []string{
		nic("01", "x3000c0s0b0n0", ""), nic("03", "x3000c0s0b0n0", strings.Replace(addr, "%s", "3", 1)),
		nic("02", "x3000c0s0b0n0", strings.Replace(addr, "%s", "2", 1)), nic("10", "x3000c0s0b0", strings.Replace(addr, "%s", "0", 1)),
		nic("11", "x3000c0s9b0", strings.Replace(addr, "%s", "9", 1)),
	}
	components := strings.Replace(components, "]}", `,{"ID":"x3000c0s9b0","Type":"NodeBMC"}]}`, 1)
	for range 2 {
		index, _, err := decodeAll("["+strings.Join(records, ",")+"]", components)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[byte]string)
		for mac, m := range index {
			got[mac[5]] = fmt.Sprint(m.NIC, m.NID, m.HasNID)
		}
		want := map[byte]string{2: "0 1 true", 3: "1 1 true", 1: "2 1 true", 0x10: "0 1 true", 0x11: "0 0 false"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("place and number (-want +got):\n%s", diff)
		}
		slices.Reverse(records)
	}
}

// TestSameMachines has an inventory again in which one node has another
// state, one interface lost its address and its place, and another is in the
// place of one that is gone. What did not change is not held twice, and what is
// served is not written to.
func TestSameMachines(t *testing.T) {
	t.Parallel()
	node := func(id, state string) string {
		return `{"ID":"` + id + `","Type":"Node","NID":7,"State":"` + state + `"}`
	}
	const addr, other = `{"IPAddress":"192.0.2.11"}`, `{"IPAddress":"192.0.2.12"}`
	decode := func(before Index, stateOfB, addrOf02, further string) Index {
		t.Helper()
		index, _, err := decodeAfter(before,
			"["+nic("01", "a", addr)+","+nic("02", "c", addrOf02)+","+nic("03", "c", other)+","+nic("04", "c", "")+","+nic("06", "d", "")+","+nic("07", "b", "")+further+"]",
			`{"Components":[`+node("a", "Ready")+","+node("b", stateOfB)+","+node("c", "Ready")+","+node("d", "Ready")+"]}")
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	describe := func(index Index) map[byte]string {
		told := make(map[byte]string)
		for mac, m := range index {
			told[mac[5]] = fmt.Sprint(m.ID, m.State, m.Addrs, m.NIC)
		}
		return told
	}
	before := decode(nil, "Off", addr, ","+nic("05", "d", ""))
	was := map[byte]string{1: "aReady[192.0.2.11] 0", 2: "cReady[192.0.2.11] 0", 3: "cReady[192.0.2.12] 1", 4: "cReady[] 2", 5: "dReady[] 0", 6: "dReady[] 1", 7: "bOff[] 0"}
	now := decode(before, "Ready", "", "")
	if diff := cmp.Diff(was, describe(before)); diff != "" {
		t.Errorf("the index before (-want +got):\n%s", diff)
	}
	want := map[byte]string{1: "aReady[192.0.2.11] 0", 2: "cReady[] 1", 3: "cReady[192.0.2.12] 0", 4: "cReady[] 2", 6: "dReady[] 0", 7: "bReady[] 0"}
	if diff := cmp.Diff(want, describe(now)); diff != "" {
		t.Errorf("the index now (-want +got):\n%s", diff)
	}
	for mac, m := range now {
		if same := m == before[mac]; same != (was[mac[5]] == want[mac[5]]) {
			t.Errorf("%v: held once: %v", mac, same)
		}
	}
}

// TestSharedAddress has one address on two interfaces: both have it, and it is
// reported with both.
func TestSharedAddress(t *testing.T) {
	t.Parallel()
	index, faults, err := decodeAll(`[
	 {"MACAddress":"02:00:00:00:00:01","ComponentID":"x3000c0s0b0n0","IPAddresses":[{"IPAddress":"192.0.2.11"}]},
	 {"MACAddress":"02:00:00:00:00:02","ComponentID":"x3000c0s0b0","IPAddresses":[{"IPAddress":"192.0.2.11"}]}]`,
		`{"Components":[{"ID":"x3000c0s0b0n0"},{"ID":"x3000c0s0b0"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for mac, m := range index {
		if diff := cmp.Diff(addrs("192.0.2.11"), m.Addrs, comparers); diff != "" {
			t.Errorf("%v (-want +got):\n%s", mac, diff)
		}
	}
	want := []Fault{{SharedAddress, "02:00:00:00:00:02", "x3000c0s0b0", "address 192.0.2.11 is also that of 02:00:00:00:00:01"}}
	if diff := cmp.Diff(want, faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if got, want := want[0].String(), "02:00:00:00:00:02 (x3000c0s0b0): address 192.0.2.11 is also that of 02:00:00:00:00:01"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestNotACollection has what SMD, a proxy or a wrong URL may send instead.
func TestNotACollection(t *testing.T) {
	t.Parallel()
	good := `[{"MACAddress":"02:00:00:00:00:01","ComponentID":"x3000c0s0b0n0"}]`
	for name, c := range map[string]struct{ interfaces, components, want string }{
		"null interfaces":     {`null`, components, `collection EthernetInterfaces: null where a list belongs: "null"`},
		"object interfaces":   {`{"title":"x"}`, components, `collection EthernetInterfaces: an object where a list belongs: "{\"title\":\"x\"}"`},
		"HTML":                {`<html>`, components, `collection EthernetInterfaces: HTML where a list belongs: "<html>"`},
		"truncated":           {`[{"MACAddress":"02:`, components, `collection EthernetInterfaces: broken JSON: unexpected EOF`},
		"garbage behind":      {good + `]`, components, `collection EthernetInterfaces: broken JSON: invalid character ']' looking for beginning of value`},
		"null components":     {good, `null`, `collection Components: null where an object with the list Components belongs`},
		"list of components":  {good, `[]`, `collection Components: a list where an object with the list Components belongs`},
		"no Components":       {good, `{"title":"Internal Server Error","status":500}`, `collection Components: an object without the list Components: "{\"title\":\"Internal Server Error\",\"status\":500}"`},
		"Components null":     {good, `{"Components":null}`, `collection Components: null where a list belongs`},
		"Components object":   {good, `{"Components":{}}`, `collection Components: an object where a list belongs`},
		"truncated component": {good, `{"Components":[{"ID":"x`, `collection Components: broken JSON: unexpected EOF`},
		"nothing":             {good, ``, `collection Components: nothing where an object with the list Components belongs`},
	} {
		index, _, err := decodeAll(c.interfaces, c.components)
		if err == nil {
			t.Errorf("%s: no error, index %v", name, index)
			continue
		}
		if diff := cmp.Diff(c.want, err.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// FuzzIndex has any answers: no panic, and every machine of the index has what
// a handler relies on.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`[{"MACAddress":"02:00:00:ab:cd:01","ComponentID":"x3000c0s0b0n0","IPAddresses":[{"IPAddress":"192.0.2.11/24"}]}]`), []byte(components))
	f.Add([]byte(`[null,7,"x",[],{"IPAddresses":null}]`), []byte(`{"Components":[null,7,{"ID":"x","NID":{}}]}`))
	f.Add([]byte(`null`), []byte(`{"Components":null}`))
	f.Fuzz(func(t *testing.T, interfaces, components []byte) {
		index, _, err := decodeAll(string(interfaces), string(components))
		if err != nil {
			return
		}
		again, _, err := decodeAfter(index, string(interfaces), string(components))
		if err != nil || !maps.Equal(again, index) {
			t.Errorf("the same again, error %v:\n%v\n%v", err, index, again)
		}
		for mac, m := range index {
			if m.MAC != mac || m.ID == "" || mac == (MAC{}) {
				t.Errorf("machine %+v under %v", m, mac)
			}
			for _, a := range m.Addrs {
				if !a.IsValid() || a.IsUnspecified() || a.Is4In6() || a.Zone() != "" {
					t.Errorf("address %v", a)
				}
			}
			again, err := ParseMAC(mac.String())
			if err != nil || again != mac {
				t.Errorf("MAC %v comes back as %v, %v", mac, again, err)
			}
		}
	})
}
