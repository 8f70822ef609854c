package args

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Value is the place that an option's text goes to.
type Value struct {
	Wanted string // what is accepted, in words, such as "a duration above zero"
	set    func(text string) error
}

// unknown is an error of a parser with keys of its own: a word that it does not
// know. It is told with the nearest of the known words.
type unknown interface {
	error
	Unknown() (word string, known []string)
}

// wanting is an error that ends in what was wanted.
type wanting interface {
	error
	Wanted() string
}

// reasons says what is wrong with a text and what was wanted. A joined error is
// several mistakes.
func (v Value) reasons(err error) []string {
	if joined, ok := any(err).(interface{ Unwrap() []error }); ok {
		var list []string
		for _, one := range joined.Unwrap() {
			list = append(list, v.reasons(one)...)
		}
		return list
	}
	var u unknown
	if errors.As(err, &u) {
		word, known := u.Unknown()
		return []string{err.Error() + "; " + Suggest(word, known)}
	}
	var w wanting
	if errors.As(err, &w) {
		return []string{err.Error()}
	}
	return []string{err.Error() + "; wanted " + v.Wanted}
}

// Of returns a value that parse turns text into. A failure of parse is told
// to the user as it is, followed by what was wanted unless it says so itself.
func Of[T any](to *T, wanted string, parse func(string) (T, error)) Value {
	return Value{wanted, func(text string) error {
		v, err := parse(text)
		if err == nil {
			*to = v
		}
		return err
	}}
}

// List returns a value for an option that may be repeated.
func List[T any](to *[]T, wanted string, parse func(string) (T, error)) Value {
	return Value{wanted, func(text string) error {
		v, err := parse(text)
		if err == nil {
			*to = append(*to, v)
		}
		return err
	}}
}

// String takes any text.
func String(to *string, wanted string) Value {
	return Of(to, wanted, func(text string) (string, error) { return text, nil })
}

const aDuration = "a duration of at least 1s such as 30s, 5m or 1h"

// Duration takes a Go duration of at least one second, which is the
// resolution of DHCP.
func Duration(to *time.Duration) Value { return Of(to, aDuration, parseDuration) }

// LeaseTime takes a Go duration that fits into the lease time option: whole
// seconds in 32 bits, below infinity (RFC 2131 section 3.3).
func LeaseTime(to *time.Duration) Value {
	return Of(to, aDuration, func(text string) (time.Duration, error) {
		d, err := parseDuration(text)
		if err == nil && d >= 0xffffffff*time.Second {
			err = errors.New("2^32-1 seconds or more")
		}
		return d.Truncate(time.Second), err
	})
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("not a duration")
	case d < time.Second:
		return 0, errors.New("too short")
	}
	return d, nil
}

// Bool takes true or false.
func Bool(to *bool) Value { return OneOf(to, "true", "false") }

// Switch takes on or off.
func Switch(to *bool) Value { return OneOf(to, "on", "off") }

// OneOf takes one of two words: yes makes it true.
func OneOf(to *bool, yes, no string) Value {
	return Of(to, yes+" or "+no, func(text string) (bool, error) {
		switch strings.ToLower(text) {
		case yes:
			return true, nil
		case no:
			return false, nil
		}
		return false, errors.New("not understood")
	})
}

// Port takes a UDP or TCP port.
func Port(to *uint16) Value {
	return Of(to, "a port from 1 to 65535", func(text string) (uint16, error) {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return 0, errors.New("not a port")
		}
		return uint16(n), nil
	})
}

// URL takes an absolute URL of one of the schemes, without user or password.
// A file URL names no host.
func URL(to **url.URL, schemes ...string) Value {
	wanted := "a URL that begins with " + strings.Join(schemes, ":// or ") + "://"
	return Of(to, wanted, func(text string) (*url.URL, error) {
		u, err := url.Parse(text)
		switch {
		case err != nil:
			return nil, errors.New("not a URL")
		case u.Scheme == "":
			return nil, errors.New("no scheme")
		case !slices.Contains(schemes, u.Scheme):
			return nil, fmt.Errorf("scheme %q", u.Scheme)
		case u.User != nil:
			return nil, errors.New("user or password in a URL")
		case u.Scheme == "file" && (u.Host != "" || u.Path == ""):
			return nil, errors.New("a file URL has three slashes and a path")
		case u.Scheme != "file" && u.Hostname() == "":
			return nil, errors.New("no host")
		}
		return u, nil
	})
}

// Domain takes a DNS domain name (RFC 1123 section 2.1).
func Domain(to *string) Value {
	return Of(to, "a domain name such as cluster.example.org", func(text string) (string, error) {
		name := strings.TrimSuffix(strings.TrimPrefix(text, "."), ".")
		if len(name) > 190 {
			return "", errors.New("too long")
		}
		for label := range strings.SplitSeq(name, ".") {
			if !isLabel(label) {
				return "", fmt.Errorf("label %q is not letters, digits and inner hyphens", label)
			}
		}
		return name, nil
	})
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
