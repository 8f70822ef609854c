package bootfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree is a folder with all that must and must not be served, beside a file
// that lies outside.
func tree(t *testing.T) string {
	t.Helper()
	top := folder(t, map[string][]byte{
		"secret":               []byte("secret"),
		"tftpboot/ipxe.efi":    []byte("ipxe"),
		"tftpboot/sub/menu":    []byte("menu"),
		"tftpboot/default":     []byte("own default"),
		"tftpboot/back\\slash": []byte("never"),
	})
	dir := filepath.Join(top, "tftpboot")
	links := map[string]string{
		"link":         "sub/menu",
		"link-up":      "sub/../ipxe.efi",
		"link-around":  "../tftpboot/ipxe.efi",
		"link-abs":     filepath.Join(dir, "ipxe.efi"),
		"link-dir":     "sub",
		"out":          "../secret",
		"out-abs":      filepath.Join(top, "secret"),
		"out-dir":      "..",
		"out-fifo":     filepath.Join(dir, "fifo"),
		"dangling":     "nowhere",
		"loop":         "loop",
		"out-dangling": filepath.Join(top, "nowhere"),
		"device":       "/dev/zero",
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNames(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	const denied, notFound = "2 access violation", "1 file not found"
	long255, long256 := strings.Repeat("n", 255), strings.Repeat("n", 256)
	long512 := strings.Repeat(strings.Repeat("n", 63)+"/", 8)
	leads := func(name string) string { return fmt.Sprintf("%q leads outside the folder", name) }
	irregular := func(name string) string { return fmt.Sprintf("%q is not a regular file", name) }
	none := func(name string) string { return fmt.Sprintf("no file %q", name) }
	tests := map[string]struct {
		name    string
		bytes   string
		fault   string
		outcome Outcome
		err     string
	}{
		"plain":                     {name: "ipxe.efi", bytes: "ipxe"},
		"rooted":                    {name: "/ipxe.efi", bytes: "ipxe"},
		"rooted often":              {name: "///ipxe.efi", bytes: "ipxe"},
		"dot":                       {name: "./ipxe.efi", bytes: "ipxe"},
		"below":                     {name: "sub/menu", bytes: "menu"},
		"doubled slash":             {name: "sub//menu", bytes: "menu"},
		"backslash":                 {name: `\sub\menu`, bytes: "menu"},
		"up and down":               {name: "sub/../ipxe.efi", bytes: "ipxe"},
		"up and down, nowhere":      {name: "x/../ipxe.efi", bytes: "ipxe"},
		"link":                      {name: "link", bytes: "menu"},
		"link with ..":              {name: "link-up", bytes: "ipxe"},
		"link to a folder":          {name: "link-dir/menu", bytes: "menu"},
		"absolute link inside":      {name: "link-abs", bytes: "ipxe"},
		"folder goes before":        {name: "default", bytes: "own default"},
		"built in":                  {name: "reboot.ipxe", bytes: "built in"},
		"built in, rooted":          {name: "/reboot.ipxe", bytes: "built in"},
		"built in, backslash":       {name: `\reboot.ipxe`, bytes: "built in"},
		"alternate":                 {name: "ipxe-x86_64.efi", bytes: "ipxe"},
		"alternate, rooted":         {name: "/ipxe-x86_64.efi", bytes: "ipxe"},
		"alternate built in":        {name: "again.ipxe", bytes: "built in"},
		"link that goes and comes":  {name: "link-around", bytes: "ipxe"},
		"alternate missing":         {name: "a", fault: notFound, outcome: Missing, err: none("a")},
		"missing":                   {name: "nothing", fault: notFound, outcome: Missing, err: none("nothing")},
		"missing below":             {name: "no/thing", fault: notFound, outcome: Missing, err: none("no/thing")},
		"below a file":              {name: "ipxe.efi/x", fault: notFound, outcome: Missing, err: none("ipxe.efi/x")},
		"file with slash":           {name: "ipxe.efi/", fault: notFound, outcome: Missing, err: none("ipxe.efi/")},
		"dangling link":             {name: "dangling", fault: notFound, outcome: Missing, err: none("dangling")},
		"other case":                {name: "IPXE.EFI", fault: notFound, outcome: Missing, err: none("IPXE.EFI")},
		"percent":                   {name: "%2e%2e/secret", fault: notFound, outcome: Missing, err: none("%2e%2e/secret")},
		"three dots":                {name: ".../secret", fault: notFound, outcome: Missing, err: none(".../secret")},
		"drive":                     {name: `C:\secret`, fault: notFound, outcome: Missing, err: none("C:/secret")},
		"255 octets":                {name: long255, fault: notFound, outcome: Missing, err: none(long255)},
		"256 octets":                {name: long256, fault: notFound, outcome: Missing, err: none(long256)},
		"512 octets":                {name: long512, fault: notFound, outcome: Missing, err: none(long512)},
		"control characters":        {name: "a\nb\x1b", fault: notFound, outcome: Missing, err: none("a\nb\x1b")},
		"not UTF-8":                 {name: "\xff\xfe", fault: notFound, outcome: Missing, err: none("\xff\xfe")},
		"up":                        {name: "../secret", fault: denied, outcome: Refused, err: leads("../secret")},
		"up, rooted":                {name: "/../secret", fault: denied, outcome: Refused, err: leads("../secret")},
		"up often":                  {name: "../../../../etc/passwd", fault: denied, outcome: Refused, err: leads("../../../../etc/passwd")},
		"up, backslash":             {name: `..\secret`, fault: denied, outcome: Refused, err: leads("../secret")},
		"up, mixed":                 {name: `\/..\/secret`, fault: denied, outcome: Refused, err: leads("../secret")},
		"up from below":             {name: "sub/../../secret", fault: denied, outcome: Refused, err: leads("../secret")},
		"up from nowhere":           {name: "x/../../secret", fault: denied, outcome: Refused, err: leads("../secret")},
		"up and back in":            {name: "../tftpboot/ipxe.efi", fault: denied, outcome: Refused, err: leads("../tftpboot/ipxe.efi")},
		"only up":                   {name: "..", fault: denied, outcome: Refused, err: leads("..")},
		"link outside":              {name: "out", fault: denied, outcome: Refused, err: leads("out")},
		"absolute link outside":     {name: "out-abs", fault: denied, outcome: Refused, err: leads("out-abs")},
		"dangling outside":          {name: "out-dangling", fault: denied, outcome: Refused, err: leads("out-dangling")},
		"below a link outside":      {name: "out-dir/secret", fault: denied, outcome: Refused, err: leads("out-dir/secret")},
		"through a link and back":   {name: "out-dir/tftpboot/x", fault: denied, outcome: Refused, err: leads("out-dir/tftpboot/x")},
		"loop of links":             {name: "loop", fault: denied, outcome: Refused, err: leads("loop")},
		"device":                    {name: "device", fault: denied, outcome: Refused, err: leads("device")},
		"folder":                    {name: "sub", fault: denied, outcome: Refused, err: irregular("sub")},
		"folder with slash":         {name: "sub/", fault: denied, outcome: Refused, err: irregular("sub/")},
		"the folder itself":         {name: "/", fault: denied, outcome: Refused, err: irregular(".")},
		"empty":                     {name: "", fault: denied, outcome: Refused, err: irregular(".")},
		"FIFO":                      {name: "fifo", fault: denied, outcome: Refused, err: irregular("fifo")},
		"FIFO by absolute link":     {name: "out-fifo", fault: denied, outcome: Refused, err: irregular("out-fifo")},
		"alternate does not escape": {name: "b", fault: denied, outcome: Refused, err: leads("../secret")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothPorts(t, func(t *testing.T, o Options) {
				o.Dir = dir
				o.BuiltIn = map[string][]byte{"reboot.ipxe": []byte("built in"), "default": []byte("built in")}
				o.Alternates = map[string]string{
					"ipxe-x86_64.efi": "ipxe.efi", "ipxe.efi": "ipxe-x86_64.efi",
					"again.ipxe": "reboot.ipxe", "a": "nothing", "b": "../secret",
				}
				r := start(t, o)
				d, err := dial(t, r.Addr()).get(rrq(test.name))
				if err != nil {
					t.Fatal(err)
				}
				want := download{fault: test.fault}
				ended := fmt.Sprintf("%q %s %s", test.name, test.outcome, test.err)
				if test.bytes != "" {
					want.bytes, ended = []byte(test.bytes), fmt.Sprintf("%q sent <nil>", test.name)
				}
				if diff := cmp.Diff(want, d, cmp.AllowUnexported(download{})); diff != "" {
					t.Error(diff)
				}
				tr := r.next(t)
				got := fmt.Sprintf("%q %s %v", tr.Name, tr.Outcome, tr.Err)
				if diff := cmp.Diff(ended, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestUnacceptable(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		ask        request
		fault, err string
	}{
		"write": {
			ask:   request{op: opWrite, name: "new", mode: "octet"},
			fault: "4 files cannot be written here", err: `request to write "new"`,
		},
		"write over": {
			ask:   request{op: opWrite, name: "ipxe.efi", mode: "netascii"},
			fault: "4 files cannot be written here", err: `request to write "ipxe.efi"`,
		},
		"mail": {
			ask:   request{op: opRead, name: "ipxe.efi", mode: "mail"},
			fault: "4 the mode must be octet or netascii", err: `mode "mail", want octet or netascii`,
		},
		"no mode": {
			ask:   request{op: opRead, name: "ipxe.efi"},
			fault: "4 the mode must be octet or netascii", err: `mode "", want octet or netascii`,
		},
	}
	dir := tree(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothPorts(t, func(t *testing.T, o Options) {
				o.Dir = dir
				r := start(t, o)
				d, err := dial(t, r.Addr()).get(test.ask.encode())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(download{fault: test.fault}, d, cmp.AllowUnexported(download{})); diff != "" {
					t.Error(diff)
				}
				tr := r.next(t)
				if tr.Outcome != Refused || tr.Err.Error() != test.err {
					t.Errorf("got %s, %v", tr.Outcome, tr.Err)
				}
			})
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a file was written")
	}
}

// Without a folder there are only the built-in files.
func TestNoFolder(t *testing.T) {
	t.Parallel()
	bothPorts(t, func(t *testing.T, o Options) {
		o.BuiltIn = map[string][]byte{"default": []byte("built in")}
		r := start(t, o)
		if r.Missing() {
			t.Error("no folder was asked for, none is missing")
		}
		for name, want := range map[string]download{
			"/default": {bytes: []byte("built in")},
			"other":    {fault: "1 file not found"},
		} {
			d, err := dial(t, r.Addr()).get(rrq(name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, d, cmp.AllowUnexported(download{})); diff != "" {
				t.Error(diff)
			}
		}
	})
}
