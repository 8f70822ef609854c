package netboot

import (
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Codes inside option 175. Those from 0x10 to 0x7f are features (iPXE's
// src/include/ipxe/features.h); HTTPS is told beside HTTP.
const (
	featureFirst byte = 0x10
	featureLast  byte = 0x7f
	featureHTTP  byte = 0x13
	featureHTTPS byte = 0x14
)

// protocols are the features by the scheme of the URLs that they load.
var protocols = map[string]byte{"http": featureHTTP, "https": featureHTTPS}

// lacks returns the protocol, in capitals, that a script's URL needs and the
// client's iPXE says it has not, or else nothing. An iPXE that lists no feature
// at all is believed to have everything.
func lacks(req *dhcpv4.DHCPv4, script string) string {
	scheme, _, _ := strings.Cut(script, ":")
	needed, ok := protocols[strings.ToLower(scheme)]
	if !ok {
		return ""
	}
	features := suboptions(req.GetOneOption(optionIPXE))
	listed := false
	for code := range features {
		listed = listed || code >= featureFirst && code <= featureLast
	}
	if _, has := features[needed]; has || !listed {
		return ""
	}
	return strings.ToUpper(scheme)
}

// suboptions reads options that are encapsulated in an option (RFC 2132 section
// 8.4). What is cut off is left out.
func suboptions(b []byte) map[byte][]byte {
	found := make(map[byte][]byte)
	for len(b) > 0 && b[0] != 255 {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			break
		}
		end := 2 + int(b[1])
		found[b[0]] = append(found[b[0]], b[2:end]...)
		b = b[end:]
	}
	return found
}
