package smd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	base "github.com/Cray-HPE/hms-base/v2"
	"github.com/OpenCHAMI/smd/v2/pkg/sm"
)

// decodeInterfaces reads the collection of Ethernet interfaces. Anything but
// a list is an error of the whole; a record that cannot be read is set aside.
func decodeInterfaces(body []byte) ([]sm.CompEthInterfaceV2, []Fault, error) {
	var list []json.RawMessage
	if err := decodeList(body, &list); err != nil {
		return nil, nil, err
	}
	records := make([]sm.CompEthInterfaceV2, 0, len(list))
	var faults []Fault
	for i, raw := range list {
		var record sm.CompEthInterfaceV2
		if err := decodeRecord(raw, &record); err != nil {
			faults = append(faults, Fault{record.MACAddr, record.CompID, fmt.Sprintf("interface record %d set aside: %v", i+1, err)})
			continue
		}
		records = append(records, record)
	}
	return records, faults, nil
}

// decodeComponents reads the collection of components by their ids.
func decodeComponents(body []byte) (map[string]component, []Fault, error) {
	var object struct{ Components json.RawMessage }
	if kind := kindOf(body); kind != "an object" {
		return nil, nil, fmt.Errorf("%s where an object with the list Components belongs", kind)
	}
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, nil, fmt.Errorf("broken JSON: %w", err)
	}
	if object.Components == nil {
		return nil, nil, fmt.Errorf("an object without the list Components: %s", excerpt(body))
	}
	var list []json.RawMessage
	if err := decodeList(object.Components, &list); err != nil {
		return nil, nil, err
	}
	components := make(map[string]component, len(list))
	var faults []Fault
	for i, raw := range list {
		c, err := decodeComponent(raw)
		if err != nil {
			faults = append(faults, Fault{ID: c.ID, Reason: fmt.Sprintf("component record %d: %v", i+1, err)})
		}
		if c.ID != "" {
			components[c.ID] = c
		}
	}
	return components, faults, nil
}

// decodeComponent reads one component. The node id is a number or, from
// SMD's successor, a string; one that cannot be read does not cost the
// machine its component.
func decodeComponent(raw json.RawMessage) (component, error) {
	var record struct {
		base.Component
		NID json.RawMessage
	}
	if err := decodeRecord(raw, &record); err != nil {
		return component{}, fmt.Errorf("set aside: %w", err)
	}
	if record.ID == "" {
		return component{}, fmt.Errorf("set aside: no ID: %s", excerpt(raw))
	}
	text := strings.Trim(string(record.NID), `"`)
	if text == "" || text == "null" {
		return newComponent(record.Component, 0, false), nil
	}
	nid, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return newComponent(record.Component, 0, false), fmt.Errorf("NID %s is not a number", excerpt(record.NID))
	}
	return newComponent(record.Component, nid, true), nil
}

func decodeRecord(raw json.RawMessage, to any) error {
	if kind := kindOf(raw); kind != "an object" {
		return fmt.Errorf("%s where an object belongs", kind)
	}
	return json.Unmarshal(raw, to)
}

func decodeList(body []byte, to *[]json.RawMessage) error {
	if kind := kindOf(body); kind != "a list" {
		return fmt.Errorf("%s where a list belongs: %s", kind, excerpt(body))
	}
	if err := json.Unmarshal(body, to); err != nil {
		return fmt.Errorf("broken JSON: %w", err)
	}
	return nil
}

// kindOf names the kind of a JSON value by its first character.
func kindOf(body []byte) string {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 {
		return "nothing"
	}
	switch body[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 'n':
		return "null"
	case '"':
		return "a string"
	case '<':
		return "HTML"
	}
	return "something else"
}

// excerpt quotes the beginning of an answer for a log line.
func excerpt(body []byte) string {
	const most = 160
	if len(body) <= most {
		return strconv.Quote(string(body))
	}
	return strconv.Quote(string(body[:most])) + "..."
}
