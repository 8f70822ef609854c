package smd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unique"

	base "github.com/Cray-HPE/hms-base/v2"
	"github.com/OpenCHAMI/smd/v2/pkg/sm"
)

// excerptSize is how much of an answer a log line quotes.
const excerptSize = 160

// decodeAnswer turns an answer into an inventory, record by record. The bodies
// are used up. Machines that did not change are those of the index before.
func decodeAnswer(a Answer, before Index) (*indexer, error) {
	components, bad, err := decodeComponents(a.Components)
	if err != nil {
		return nil, wrapComponents(err)
	}
	ix := newIndexer(components, before)
	ix.faults = bad
	if err := decodeInterfaces(a.Interfaces, ix.add, ix.unreadable); err != nil {
		return nil, fmt.Errorf("collection EthernetInterfaces: %w", err)
	}
	return ix, nil
}

func wrapComponents(err error) error { return fmt.Errorf("collection Components: %w", err) }

func (ix *indexer) unreadable(number int, record sm.CompEthInterfaceV2, err error) {
	ix.fault(BadRecord, record, "interface record %d set aside: %v", number, err)
}

// decodeInterfaces reads the collection of Ethernet interfaces. Anything but
// a list is an error of the whole; a record that cannot be read is set aside.
func decodeInterfaces(body Body, take func(sm.CompEthInterfaceV2), bad func(int, sm.CompEthInterfaceV2, error)) error {
	s, err := newStream(body, "a list")
	if err != nil {
		return err
	}
	if err := s.interfaces(take, bad); err != nil {
		return err
	}
	return s.end()
}

// interfaces reads a list of Ethernet interfaces.
func (s *stream) interfaces(take func(sm.CompEthInterfaceV2), bad func(int, sm.CompEthInterfaceV2, error)) error {
	return s.list(func(number int) error {
		var record sm.CompEthInterfaceV2
		unfit, err := s.record(&record)
		switch {
		case err != nil:
			return err
		case unfit != nil:
			bad(number, record, unfit)
		default:
			take(record)
		}
		return nil
	})
}

// decodeComponents reads the collection of components by their ids.
func decodeComponents(body Body) (map[string]component, []Fault, error) {
	s, err := newStream(body, "an object")
	if err != nil {
		return nil, nil, wantComponents(err)
	}
	c := newCollector(s)
	found := false
	err = s.members(func(name string) (bool, error) {
		if !strings.EqualFold(name, "Components") {
			return false, nil
		}
		found = true
		return true, s.list(c.take)
	})
	switch {
	case err != nil:
		return nil, nil, err
	case !found:
		return nil, nil, fmt.Errorf("an object without the list Components: %s", s.excerpt)
	}
	return c.components, c.faults, s.end()
}

func wantComponents(err error) error {
	var kind *kindError
	if errors.As(err, &kind) {
		return fmt.Errorf("%s where an object with the list Components belongs", kind.got)
	}
	return err
}

// A collector gathers components.
type collector struct {
	*stream
	components map[string]component
	interner   interner
	faults     []Fault
}

func newCollector(s *stream) collector {
	return collector{stream: s, components: make(map[string]component), interner: make(interner)}
}

// take reads one component. The node id is a number or, from SMD's successor,
// a string; one that cannot be read does not cost the machine its component.
func (c *collector) take(number int) error {
	var record struct {
		base.Component
		NID json.RawMessage
	}
	unfit, err := c.record(&record)
	if err != nil {
		return err
	}
	if unfit == nil && record.ID == "" {
		unfit = errors.New("no ID")
	}
	if unfit != nil {
		c.faults = append(c.faults, Fault{Kind: BadRecord, ID: record.ID, Reason: fmt.Sprintf("component record %d set aside: %v", number, unfit)})
		return nil
	}
	record.Type = intern(record.Type)
	nid, hasNID, err := parseNID(record.NID)
	if err != nil {
		c.faults = append(c.faults, Fault{Kind: BadNID, ID: record.ID, Reason: fmt.Sprintf("component record %d: %v", number, err)})
	}
	c.components[record.ID] = newComponent(record.Component, nid, hasNID, c.interner.traits(record.Component))
	return nil
}

func parseNID(raw json.RawMessage) (nid uint64, has bool, err error) {
	text := strings.Trim(string(raw), `"`)
	if text == "" || text == "null" {
		return 0, false, nil
	}
	nid, err = strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("NID %s is not a number", excerpt(raw))
	}
	return nid, true, nil
}

// intern returns one copy of a word that many records hold.
func intern(s string) string { return unique.Make(s).Value() }

// A stream reads a collection without ever holding all of it.
type stream struct {
	*json.Decoder
	excerpt string // of its beginning
}

// newStream begins to read a body that must be of a kind.
func newStream(body Body, kind string) (*stream, error) {
	return streamOf(body.open(), kind)
}

// streamOf begins to read a text that must be of a kind.
func streamOf(text io.Reader, kind string) (*stream, error) {
	in := bufio.NewReaderSize(text, 4096)
	head, err := in.Peek(excerptSize + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if got := kindOf(head); got != kind {
		return nil, &kindError{got, kind, excerpt(head)}
	}
	return &stream{json.NewDecoder(in), excerpt(head)}, nil
}

// A kindError is a value of another kind than the one that belongs there.
type kindError struct{ got, want, excerpt string }

func (e *kindError) Error() string {
	return fmt.Sprintf("%s where %s belongs: %s", e.got, e.want, e.excerpt)
}

// list reads a list. take reads an element, which is counted from 1.
func (s *stream) list(take func(int) error) error {
	opening, err := s.Token()
	switch {
	case err != nil:
		return broken(err)
	case opening != json.Delim('['):
		return fmt.Errorf("%s where a list belongs", kindOfToken(opening))
	}
	for number := 1; s.More(); number++ {
		if err := take(number); err != nil {
			return err
		}
	}
	_, err = s.Token()
	return broken(err)
}

// record reads an object. unfit is what is wrong with this one alone.
func (s *stream) record(to any) (unfit, err error) {
	err = s.Decode(to)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return err, nil
	}
	return nil, broken(err)
}

// members reads an object. take reads the value of a member, or says that it
// does not know it.
func (s *stream) members(take func(name string) (known bool, err error)) error {
	if _, err := s.Token(); err != nil {
		return broken(err)
	}
	for s.More() {
		key, err := s.Token()
		if err != nil {
			return broken(err)
		}
		name, _ := key.(string)
		known, err := take(name)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		var skipped json.RawMessage
		if err := s.Decode(&skipped); err != nil {
			return broken(err)
		}
	}
	_, err := s.Token()
	return broken(err)
}

// end wants the end of the body.
func (s *stream) end() error {
	switch _, err := s.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errors.New("broken JSON: more behind its end")
	default:
		return broken(err)
	}
}

func broken(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("broken JSON: %w", err)
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

// kindOfToken names the kind of a JSON value by its first token.
func kindOfToken(token json.Token) string {
	switch token.(type) {
	case nil:
		return "null"
	case json.Delim:
		return "an object"
	case string:
		return "a string"
	}
	return "something else"
}

// excerpt quotes the beginning of an answer for a log line.
func excerpt(body []byte) string {
	if len(body) <= excerptSize {
		return strconv.Quote(string(body))
	}
	return strconv.Quote(string(body[:excerptSize])) + "..."
}
