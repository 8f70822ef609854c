package smd

import (
	"bytes"
	"strings"
	"testing"
)

// What one cache serves another serves after it: SMD was heard, if not by this
// process. An inventory of another SMD is not taken.
func TestHand(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	empty := NewCache(Options{})
	if err := empty.Hand(&text, smdURL); err != nil || text.Len() > 0 {
		t.Errorf("%q %v of an empty cache", text.String(), err)
	}
	if err := empty.Inherit(&text, smdURL); err == nil || empty.Status().State != NeverLoaded {
		t.Errorf("%v, %v", err, empty.Status().State)
	}
	full := "{\"Source\":\"" + smdURL + `","Time":"2026-01-01T12:00:00Z","Components":[{"ID":"x3000c0s0b0n0","Type":"Node","NID":1}],"EthernetInterfaces":[{"ID":"020000000001","MACAddress":"02:00:00:00:00:01","ComponentID":"x3000c0s0b0n0","IPAddresses":[{"IPAddress":"192.0.2.11"}]}]}`
	first, second := NewCache(Options{}), NewCache(Options{})
	if err := first.Inherit(strings.NewReader(full), smdURL); err != nil {
		t.Fatal(err)
	}
	if err := first.Hand(&text, smdURL); err != nil {
		t.Fatal(err)
	}
	handed := text.String()
	if err := second.Inherit(&text, "http://other.example.org"); err == nil || second.Status().State != NeverLoaded {
		t.Errorf("of another SMD: %v, %v", err, second.Status().State)
	}
	if err := second.Inherit(strings.NewReader(handed), smdURL); err != nil {
		t.Fatal(err)
	}
	if now := second.Status(); now.State != Stale || now.Machines != 1 || now.Loaded != first.Status().Loaded {
		t.Errorf("%+v", now)
	}
}
