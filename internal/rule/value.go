package rule

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type (
	addr    = netip.Addr
	prefix  = netip.Prefix
	seconds = time.Duration
)

var errEmpty = errors.New("an alternative is empty")

// A word stands for a value.
type word[T any] struct {
	text  string
	value T
}

func oneOf[T any](words []word[T], text string) (T, error) {
	for _, w := range words {
		if w.text == text {
			return w.value, nil
		}
	}
	var zero T
	return zero, errors.New("not understood")
}

// wordOf returns the word of a value. A value that has none gives a text that
// no word is.
func wordOf[T comparable](words []word[T], value T) string {
	for _, w := range words {
		if w.value == value {
			return w.text
		}
	}
	return "none of the words"
}

func parseName(text string) (string, error) {
	for _, r := range text {
		if !isLetterOrDigit(r) && !strings.ContainsRune("._-", r) {
			return "", fmt.Errorf("%q is not for names", r)
		}
	}
	return text, nil
}

// parseWord refuses what no word of SMD has, and what looks like another way to
// name several.
func parseWord(text string) (string, error) {
	if strings.ContainsAny(text, "[]*?,") {
		return "", errors.New("not one word")
	}
	return text, nil
}

// parseID refuses what id_set is for, and what is too long to be one of SMD.
func parseID(text string) (string, error) {
	switch {
	case strings.ContainsAny(text, "[]*?,"):
		return "", errors.New("a pattern, for which there is id_set")
	case len(text) > maxID:
		return "", fmt.Errorf("longer than %d characters", maxID)
	}
	return text, nil
}

func parsePrefix(text string) (prefix, error) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || p.Addr().Is4In6():
		return prefix{}, errors.New("not a network")
	case p != p.Masked():
		return prefix{}, fmt.Errorf("host bits are set, the network is %v", p.Masked())
	}
	return p, nil
}

func parseGiaddr(text string) (prefix, error) {
	if strings.Contains(text, "/") {
		return parsePrefix(text)
	}
	a, err := parseAddr(text)
	if err != nil {
		return prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func giaddrText(p prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// parseAddr takes an address that a machine can have.
func parseAddr(text string) (addr, error) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil || a.Zone() != "" || a.Is4In6():
		return addr{}, errors.New("not an address")
	case a.IsUnspecified() || a.IsMulticast():
		return addr{}, errors.New("not the address of a machine")
	}
	return a, nil
}

func parseAddr4(text string) (addr, error) {
	a, err := parseAddr(text)
	if err == nil && !a.Is4() {
		err = errors.New("not IPv4")
	}
	return a, err
}

func parseMACs(text string) (MACs, error) {
	var m MACs
	words := strings.Split(strings.ReplaceAll(text, "-", ":"), ":")
	if len(words) > len(m.Octets) {
		return MACs{}, errors.New("more than six octets")
	}
	for i, w := range words {
		octet, err := hex.DecodeString(w)
		if err != nil || len(octet) != 1 {
			return MACs{}, fmt.Errorf("%q is not an octet of two hexadecimal digits", w)
		}
		m.Octets[i] = octet[0]
	}
	m.N = len(words)
	return m, nil
}

// parseNumber takes decimal digits without leading zeros.
func parseNumber(text string, least, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	switch {
	case err != nil || strconv.FormatUint(n, 10) != text:
		return 0, errors.New("not a number")
	case n < least || n > most:
		return 0, errors.New("out of range")
	}
	return n, nil
}

func parseBootArch(text string) (uint16, error) {
	n, err := parseNumber(text, 0, 65535)
	return uint16(n), err
}

func parseMTU(text string) (uint16, error) {
	n, err := parseNumber(text, 68, 65535)
	return uint16(n), err
}

// parseBits takes 24, /24 or a network in CIDR notation.
func parseBits(text string) (int, error) {
	if strings.ContainsAny(text, ".:") {
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Addr().Is4() || p.Bits() == 0 {
			return 0, errors.New("not an IPv4 network")
		}
		return p.Bits(), nil
	}
	n, err := parseNumber(strings.TrimPrefix(text, "/"), 1, 32)
	if err != nil {
		return 0, errors.New("not a length from 1 to 32")
	}
	return int(n), nil
}

func parseNetmask(text string) (int, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return 0, errors.New("not a mask")
	}
	for bits := 1; bits <= 32; bits++ {
		if maskOf(bits) == a {
			return bits, nil
		}
	}
	return 0, errors.New("not ones followed by zeros")
}

// maskOf returns a mask of 1 to 32 bits in dotted form.
func maskOf(bits int) addr {
	ones := ^uint32(0) << (32 - bits)
	return netip.AddrFrom4([4]byte{byte(ones >> 24), byte(ones >> 16), byte(ones >> 8), byte(ones)})
}

func netmaskText(r *Rule) []string {
	switch {
	case r.Mask == 0:
		return nil
	case r.Mask < 0 || r.Mask > 32:
		return []string{strconv.Itoa(r.Mask)}
	}
	return []string{maskOf(r.Mask).String()}
}

// parseLeaseTime takes what fits into the lease time option: whole seconds in
// 32 bits, below infinity (RFC 2131 section 3.3).
func parseLeaseTime(text string) (seconds, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("not a duration")
	case d < time.Second:
		return 0, errors.New("too short")
	case d != d.Truncate(time.Second):
		return 0, errors.New("not whole seconds")
	case d >= 0xffffffff*time.Second:
		return 0, errors.New("2^32-1 seconds or more")
	}
	return d, nil
}

// parseBootfile takes a name that the field file of a DHCPv4 message holds with
// the zero behind it.
func parseBootfile(text string) (string, error) {
	if len(text) > 127 {
		return "", errors.New("longer than 127 octets")
	}
	return text, nil
}

func parseScript(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", errors.New("not a URL")
	case u.Scheme == "":
		return "", errors.New("no scheme")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("scheme %q", u.Scheme)
	case u.User != nil:
		return "", errors.New("user or password in a URL")
	case u.Hostname() == "":
		return "", errors.New("no host")
	}
	return text, nil
}
