package smd

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLint has an inventory with something wrong of every kind: it is reported
// once, and again when what is reserved changes.
func TestLint(t *testing.T) {
	t.Parallel()
	const interfaces = `[
 {"MACAddress":"02:00:00:00:00:01","ComponentID":"x3000c0s0b0n0","IPAddresses":[{"IPAddress":"192.0.2.11"}]},
 {"MACAddress":"02:00:00:00:00:02","ComponentID":"x3000c0s1b0n0","IPAddresses":[{"IPAddress":"192.0.2.11"}]},
 {"MACAddress":"02:00:00:00:00:03","ComponentID":"x3000c0s0b0","IPAddresses":[{"IPAddress":"192.0.2.1"},{"IPAddress":"192.0.2.300"}]},
 {"MACAddress":"02-00-00-00-00-03","ComponentID":"x3000c0s0b0","IPAddresses":[{"IPAddress":"192.0.2.14"}]},
 {"MACAddress":"02:00:00:00:00:05","ComponentID":"x3000c0s0b0","IPAddresses":[{"IPAddress":""}]},
 {"MACAddress":"02:00:00:00:00:06","ComponentID":"x9000c0s0b0n0","IPAddresses":[{"IPAddress":"192.0.2.16"}]},
 {"MACAddress":"02:00:00:00:00:07","IPAddresses":[{"IPAddress":"192.0.2.17"}]},
 {"MACAddress":"02:00:00:00:00","ComponentID":"x3000c0s0b0","IPAddresses":[{"IPAddress":"192.0.2.18"}]},
 {"MACAddress":8},
 {"MACAddress":"02:00:00:00:00:09","ComponentID":"x3000c0s0b0","IPAddresses":[{"IPAddress":"192.0.2.200"}]}]`
	const components = `{"Components":[{"ID":"x3000c0s0b0n0","Type":"Node","NID":1},{"ID":"x3000c0s1b0n0","Type":"Node","NID":1},{"ID":"x3000c0s0b0","Type":"NodeBMC"},{"ID":"x3000c0s5b0n0","NID":"five"}]}`
	version, pool := 1, ""
	reserved := func(_ Machine, a netip.Addr) string {
		switch a.String() {
		case "192.0.2.1":
			return "this server"
		case "192.0.2.200":
			return pool
		}
		return ""
	}
	var polls [][]Fault
	cache := NewCache(Options{
		Source:   &asked{script: script{steps: []step{{interfaces: interfaces}}}, first: components, later: components},
		Reserved: func() (Reserved, int) { return reserved, version },
		OnPoll:   func(p Poll) { polls = append(polls, p.NewFaults) },
	})
	poll := func() {
		t.Helper()
		if err := cache.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	poll()
	poll()
	version, pool = 2, "pool 192.0.2.200-192.0.2.250"
	poll()
	inPool := Fault{TakenAddress, "02:00:00:00:00:09", "x3000c0s0b0", "address 192.0.2.200 is that of pool 192.0.2.200-192.0.2.250"}
	want := []Fault{
		{BadNID, "", "x3000c0s5b0n0", `component record 4: NID "\"five\"" is not a number`},
		{SharedAddress, "02:00:00:00:00:02", "x3000c0s1b0n0", "address 192.0.2.11 is also that of 02:00:00:00:00:01"},
		{BadAddress, "02:00:00:00:00:03", "x3000c0s0b0", `address set aside: "192.0.2.300" is not an IP address`},
		{TwiceMAC, "02-00-00-00-00-03", "x3000c0s0b0", "interface set aside: its MAC address is that of an interface of x3000c0s0b0"},
		{NoAddress, "02:00:00:00:00:05", "x3000c0s0b0", "no usable address"},
		{NoComponent, "02:00:00:00:00:07", "", "interface set aside: no component"},
		{BadMAC, "02:00:00:00:00", "x3000c0s0b0", `interface "" set aside: "02:00:00:00:00" is not a MAC address`},
		{BadRecord, "", "", "interface record 9 set aside: json: cannot unmarshal number into Go struct field CompEthInterfaceV2.MACAddress of type string"},
		{NoComponent, "02:00:00:00:00:06", "x9000c0s0b0n0", "interface set aside: component does not exist"},
		{TwiceNID, "02:00:00:00:00:02", "x3000c0s1b0n0", "NID 1 is also that of x3000c0s0b0n0"},
		{TakenAddress, "02:00:00:00:00:03", "x3000c0s0b0", "address 192.0.2.1 is that of this server"},
	}
	if diff := cmp.Diff([][]Fault{want, nil, {inPool}}, polls); diff != "" {
		t.Errorf("new faults of each poll (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append(want, inPool), cache.Status().Faults); diff != "" {
		t.Errorf("all faults (-want +got):\n%s", diff)
	}
	for _, text := range []string{"192.0.2.14", "192.0.2.16", "192.0.2.17", "192.0.2.18"} {
		if !cache.Claims(netip.MustParseAddr(text)) {
			t.Errorf("%s of an interface that was set aside is not claimed", text)
		}
	}
}

// cluster is a source of machines that are given as address/node id/state, of
// which machine n has the MAC address number(n) and the node x3000c0sNb0n0.
func cluster(machines string, more ...string) *asked {
	interfaces, components := more, []string(nil)
	for i, m := range strings.Fields(machines) {
		word := strings.Split(m, "/")
		id := fmt.Sprintf("x3000c0s%db0n0", i+1)
		interfaces = append(interfaces, fmt.Sprintf(`{"MACAddress":"%v","ComponentID":%q,"IPAddresses":[{"IPAddress":%q}]}`, number(i+1), id, word[0]))
		components = append(components, fmt.Sprintf(`{"ID":%q,"Type":"Node","NID":%s,"State":%q}`, id, word[1], word[2]))
	}
	return &asked{
		script: script{steps: []step{{interfaces: "[" + strings.Join(interfaces, ",") + "]"}}},
		first:  `{"Components":[` + strings.Join(components, ",") + "]}",
	}
}

// TestLintAgain has polls one after the other: machines are compared with each
// other, and asked for their names, only if they or their names are other ones.
// What is wrong is told all the same.
func TestLintAgain(t *testing.T) {
	t.Parallel()
	type seen struct {
		Asked  [3]int // for their names
		Faults []Kind
		Fresh  int // faults
	}
	const taken = "192.0.2.13"
	var got seen
	version, pool := 1, ""
	cache := NewCache(Options{
		Source: cluster(""),
		Reserved: func() (Reserved, int) {
			return func(_ Machine, a netip.Addr) string { return map[string]string{taken: pool}[a.String()] }, version
		},
		HostName: func(m Machine) string {
			got.Asked[m.MAC[5]-1]++
			if m.State == "Standby" {
				return "standby"
			}
			return m.ID
		},
		OnPoll: func(p Poll) { got.Fresh = len(p.NewFaults) },
	})
	all := [3]int{1, 1, 1}
	for _, c := range []struct {
		what     string
		machines string
		more     []string // records
		pool     string
		want     seen
	}{
		{"the first", "192.0.2.11/1/Off 192.0.2.12/2/Off 192.0.2.13/2/Off", nil, "", seen{all, []Kind{TwiceNID}, 1}},
		{"the same", "192.0.2.11/1/Off 192.0.2.12/2/Off 192.0.2.13/2/Off", nil, "", seen{[3]int{}, []Kind{TwiceNID}, 0}},
		{"a state", "192.0.2.11/1/On 192.0.2.12/2/Off 192.0.2.13/2/Off", nil, "", seen{[3]int{2, 0, 0}, []Kind{TwiceNID}, 0}},
		{"states and a bad record", "192.0.2.11/1/On 192.0.2.12/2/On 192.0.2.13/2/On", []string{`{"MACAddress":"x"}`}, "", seen{[3]int{0, 2, 2}, []Kind{BadMAC, TwiceNID}, 1}},
		{"without the record", "192.0.2.11/1/On 192.0.2.12/2/On 192.0.2.13/2/On", nil, "", seen{[3]int{}, []Kind{TwiceNID}, 0}},
		{"what is reserved", "192.0.2.11/1/On 192.0.2.12/2/On 192.0.2.13/2/On", nil, "a pool", seen{[3]int{}, []Kind{TwiceNID, TakenAddress}, 1}},
		{"a state then", "192.0.2.11/1/Off 192.0.2.12/2/On 192.0.2.13/2/On", nil, "a pool", seen{[3]int{2, 0, 0}, []Kind{TwiceNID, TakenAddress}, 0}},
		{"an address", "192.0.2.11/1/Off 192.0.2.12/2/On 192.0.2.14/2/On", nil, "a pool", seen{all, []Kind{TwiceNID}, 0}},
		{"another address", "192.0.2.13/1/Off 192.0.2.12/2/On 192.0.2.14/2/On", nil, "a pool", seen{all, []Kind{TwiceNID, TakenAddress}, 1}},
		{"a node id", "192.0.2.13/1/Off 192.0.2.12/1/On 192.0.2.14/2/On", nil, "a pool", seen{all, []Kind{TwiceNID, TakenAddress}, 1}},
		{"a name by the state", "192.0.2.13/1/Off 192.0.2.12/1/Standby 192.0.2.14/2/On", nil, "a pool", seen{[3]int{1, 3, 1}, []Kind{TwiceNID, TakenAddress}, 0}},
		{"that name twice", "192.0.2.13/1/Off 192.0.2.12/1/Standby 192.0.2.14/2/Standby", nil, "a pool", seen{[3]int{1, 1, 3}, []Kind{TwiceNID, TwiceName, TakenAddress}, 1}},
		{"and once", "192.0.2.13/1/Off 192.0.2.12/1/Standby 192.0.2.14/2/On", nil, "a pool", seen{[3]int{1, 1, 3}, []Kind{TwiceNID, TakenAddress}, 0}},
	} {
		if c.pool != pool {
			pool = c.pool
			version++
		}
		cache.opts.Source = cluster(c.machines, c.more...)
		got = seen{}
		if err := cache.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, f := range cache.Status().Faults {
			got.Faults = append(got.Faults, f.Kind)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
}

// TestLintInherited has SMD say what another process has handed over: nobody
// has compared those machines here.
func TestLintInherited(t *testing.T) {
	t.Parallel()
	const before, now = "192.0.2.11/1/On 192.0.2.12/2/On", "192.0.2.11/1/On 192.0.2.12/1/On"
	other, cache := NewCache(Options{Source: cluster(now)}), NewCache(Options{Source: cluster(before)})
	var handed bytes.Buffer
	err := errors.Join(other.Refresh(t.Context()), other.Hand(&handed, smdURL), cache.Refresh(t.Context()), cache.Inherit(&handed, smdURL))
	if err != nil {
		t.Fatal(err)
	}
	cache.opts.Source = cluster(now)
	if err := cache.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := cache.Status().Faults; len(got) != 1 || got[0].Kind != TwiceNID {
		t.Errorf("faults %v, want that of the node id", got)
	}
}

// TestLintNames has machines that get one host name: for a node id that two
// have the node id is told, interfaces of one machine are told together.
func TestLintNames(t *testing.T) {
	t.Parallel()
	machine := func(mac byte, id, kind string, nid uint64, nic int) *Machine {
		return &Machine{MAC: MAC{2, 0, 0, 0, 0, mac}, ID: id, Type: kind, NID: nid, HasNID: true, NIC: nic, Traits: &Traits{}}
	}
	index := make(Index)
	for _, m := range []*Machine{
		machine(1, "x3000c0s0b0n0", "Node", 1, 0), machine(2, "x3000c0s0b0n0", "Node", 1, 1), machine(3, "x3000c0s0b0n0", "Node", 1, 2),
		machine(4, "x3000c0s1b0n0", "Node", 1, 0), machine(5, "x3000c0s2b0n0", "Node", 5, 0),
		machine(6, "x3000c0s3b0", "NodeBMC", 5, 0), machine(7, "x3000c0s4b0", "NodeBMC", 9, 0), machine(8, "x3000c0s5b0", "NodeBMC", 8, 0),
	} {
		index[m.MAC] = m
	}
	got := lintNames(index, func(m Machine) string {
		if m.NID > 7 {
			return "" // without a name there is nothing to share
		}
		return fmt.Sprintf("nid%04d", m.NID)
	})
	want := []Fault{
		{TwiceName, "02:00:00:00:00:06", "x3000c0s3b0", "host name nid0005 is also that of x3000c0s2b0n0"},
		{SharedName, "02:00:00:00:00:02", "x3000c0s0b0n0", "host name nid0001 is also that of another interface of its component; it is the first such interface ({nic} in a pattern tells them apart)"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}
