package bootfile

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A script by the name of a built-in file is a template, in the folder too;
// everything else is served octet for octet.
func TestTemplates(t *testing.T) {
	t.Parallel()
	const action = "#!ipxe\necho {{.Server}} {{.Client}} {{.File}}\n"
	large := "#!ipxe\n{{" + strings.Repeat("x", maxTemplate)
	builtIn := map[string][]byte{
		"config.ipxe": []byte(action), "default": []byte(action), "reboot.ipxe": []byte(action), "autoexec.ipxe": []byte(action),
		"plain": []byte("{{.Server}}"), "large": []byte(large), "broken": []byte("#!ipxe\n{{"), "unknown": []byte("#!ipxe\n{{.Secret}}\n"),
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"default":     "#!ipxe\necho own {{.File}}\n",
		"reboot.ipxe": "#!ipxe\necho ${net0/mac} }}\n",
		"other.ipxe":  action,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := root{dir: dir, builtIn: builtIn, alternates: map[string]string{"menu.ipxe": "config.ipxe"}}
	const outcome = `failed: {{ in "%s" begins no template action that can be carried out: template: `
	for name, want := range map[string]string{
		"config.ipxe":   "#!ipxe\necho 192.0.2.1 192.0.2.9 config.ipxe\n",
		"/config.ipxe":  "#!ipxe\necho 192.0.2.1 192.0.2.9 /config.ipxe\n",
		"autoexec.ipxe": "#!ipxe\necho 192.0.2.1 192.0.2.9 autoexec.ipxe\n",
		"default":       "#!ipxe\necho own default\n",
		"reboot.ipxe":   "#!ipxe\necho ${net0/mac} }}\n",
		"other.ipxe":    action,
		"plain":         "{{.Server}}",
		"large":         large,
		"broken":        strings.Replace(outcome, "%s", "broken", 1) + "broken:2: unclosed action",
		"unknown":       strings.Replace(outcome, "%s", "unknown", 1) + `unknown:2:2: executing "unknown" at <.Secret>: can't evaluate field Secret in type bootfile.Asked`,
	} {
		f, err := r.open(Asked{Server: netip.MustParseAddr("192.0.2.1"), Client: netip.MustParseAddr("192.0.2.9"), File: name})
		var got string
		if err == nil {
			text := make([]byte, f.size)
			_, err = f.ReadAt(text, 0)
			got = string(text)
			f.Close()
		}
		if err != nil {
			got = string(outcomeOf(err)) + ": " + err.Error()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
