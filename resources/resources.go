// Package resources holds the files that come with coresmd: the iPXE scripts
// that its file servers have built in. An administrator replaces one by a file
// of the same name in the TFTP folder, such as a copy that was changed.
package resources

import _ "embed"

//go:embed reboot.ipxe
var reboot []byte

//go:embed config.ipxe
var config []byte

//go:embed autoexec.ipxe
var autoexec []byte

// BootFiles returns the boot files that are served when the TFTP folder has
// none of that name. They are templates of text/template. The reboot script goes by two names, since "default" is
// what releases before this one offered. The map is the caller's, the contents
// are not to be changed.
func BootFiles() map[string][]byte {
	return map[string][]byte{
		"default":       reboot,
		"reboot.ipxe":   reboot,
		"config.ipxe":   config,
		"autoexec.ipxe": autoexec,
	}
}
