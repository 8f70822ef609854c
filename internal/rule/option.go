package rule

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// A family is what a rule may do with the options of DHCPv4 or DHCPv6.
type family struct {
	most  uint64            // the last code
	room  int               // octets of a value
	owned map[uint16]string // what the server itself decides, in words
	keys  map[uint16]string // codes that have a key of their own
}

func family4() family {
	return family{
		most: 254, room: 255,
		owned: map[uint16]string{
			50:  "the address that a client asks for",
			52:  "option overload, which follows from the length of the reply",
			53:  "the message type",
			54:  "the server identifier, which server_id sets",
			55:  "the options that a client asks for",
			57:  "the length of message that a client takes",
			58:  "T1, which follows from lease_time",
			59:  "T2, which follows from lease_time",
			61:  "the client identifier, which is echoed",
			82:  "the relay's, which is echoed",
			118: "the subnet selection, which is echoed",
		},
		keys: map[uint16]string{
			1: "netmask", 3: "routers", 6: "dns", 12: "hostname", 26: "mtu", 42: "ntp", 51: "lease_time",
			66: "next_server", 67: "bootfile", 119: "search",
		},
	}
}

func family6() family {
	return family{
		most: 65535, room: 1024,
		owned: map[uint16]string{
			1:  "the client identifier, which is echoed",
			2:  "the server identifier, which server_id sets",
			3:  "an association for addresses",
			4:  "an association for temporary addresses",
			5:  "an address",
			6:  "the options that a client asks for",
			7:  "the preference of the server",
			8:  "the time that a client has been asking",
			9:  "the message that a relay carries",
			11: "authentication",
			12: "the server's address for unicast",
			13: "the status",
			14: "rapid commit",
			18: "the relay's interface, which is echoed",
			19: "a message that makes clients ask again",
			20: "whether a client can be made to ask again",
			25: "an association for prefixes",
			26: "a prefix",
		},
		keys: map[uint16]string{
			23: "dns", 24: "search", 39: "hostname", 56: "ntp", 59: "script or bootfile",
		},
	}
}

// options is a key that may be given for several codes.
func options(at func(*Rule) *[]Option, of func() family) field {
	return field{
		set: func(r *Rule, text string, fail failure) {
			o, err := of().parse(text)
			if err != nil {
				fail(text, err)
				return
			}
			*at(r) = put(*at(r), o)
		},
		text: func(r *Rule) []string {
			var all []string
			for _, o := range *at(r) {
				all = append(all, o.String())
			}
			return all
		},
	}
}

func (f family) parse(text string) (Option, error) {
	number, value, found := strings.Cut(text, "=")
	if !found {
		return Option{}, errors.New("no equals sign")
	}
	n, err := parseNumber(number, 1, f.most)
	if err != nil {
		return Option{}, fmt.Errorf("%q is not a code", number)
	}
	code := uint16(n)
	if what, ok := f.owned[code]; ok {
		return Option{}, mistakeError{fmt.Sprintf("the server itself decides %d, %s", code, what), "another code"}
	}
	if name, ok := f.keys[code]; ok {
		return Option{}, mistakeError{fmt.Sprintf("%d has a key of its own", code), name}
	}
	data, err := parseData(value)
	if err == nil && len(data) > f.room {
		err = fmt.Errorf("a value of %d octets, and %d is the most", len(data), f.room)
	}
	return Option{code, data}, err
}

func parseData(text string) ([]byte, error) {
	if text == "" || isHex(text) && len(text) == 2 {
		return nil, errors.New("the value is empty")
	}
	if !isHex(text) {
		return []byte(text), nil
	}
	if len(text)%2 != 0 {
		return nil, errors.New("an odd number of hexadecimal digits")
	}
	data, err := hex.DecodeString(text[2:])
	if err != nil {
		return nil, errors.New("not hexadecimal behind 0x")
	}
	return data, nil
}

func isHex(text string) bool { return strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X") }

// String returns CODE=VALUE, as a rule has it.
func (o Option) String() string {
	text := string(o.Data)
	if isHex(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		text = "0x" + hex.EncodeToString(o.Data)
	}
	return fmt.Sprintf("%d=%s", o.Code, text)
}
