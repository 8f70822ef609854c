package netboot

import (
	"encoding/hex"
	"net/url"
)

// bootScriptPath is where the boot script service serves scripts.
const bootScriptPath = "/boot/v1/bootscript"

// A Script is the address of the boot scripts: all of a URL but the MAC at
// its end.
type Script string

// BaseScript returns the scripts of a boot script service at base.
func BaseScript(base *url.URL) Script { return FullScript(base.JoinPath(bootScriptPath)) }

// FullScript returns the scripts at a full URL. The MAC is added to a query
// that is there; a fragment is dropped.
func FullScript(u *url.URL) Script {
	bare := *u
	bare.Fragment, bare.RawFragment, bare.ForceQuery = "", "", false
	if bare.RawQuery == "" {
		return Script(bare.String() + "?mac=")
	}
	return Script(bare.String() + "&mac=")
}

// ParseScript is FullScript of a text, which has to be a URL.
func ParseScript(text string) (Script, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	return FullScript(u), nil
}

// For returns the URL of one machine's script. The MAC is in lower case with
// plain colons: boot script services compare it as text.
func (s Script) For(mac [6]byte) string {
	text := make([]byte, 0, len(s)+17)
	text = append(text, s...)
	for i, octet := range mac {
		if i > 0 {
			text = append(text, ':')
		}
		text = hex.AppendEncode(text, []byte{octet})
	}
	return string(text)
}
