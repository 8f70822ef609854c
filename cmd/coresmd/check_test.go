package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

// newFolder makes a folder with what configurations of these tests name: boot
// files, an empty folder, and an inventory.
func newFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"files", "empty", "inventory"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dhcptest.WriteInventory(t, filepath.Join(folder, "inventory"), interfaces, components)
	write(t, filepath.Join(folder, "files", "ipxe-x86_64.efi"), "loader")
	return folder
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestCheck has the whole of what check says of configurations. Nothing is
// changed by it.
func TestCheck(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/check/*.yaml")
	if err != nil || len(paths) < 10 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			folder := newFolder(t)
			write(t, filepath.Join(folder, "config.yaml"), string(text))
			before := tree(t, folder)
			words := []string{"check", "-c", "config.yaml"}
			if name != "no-smd" {
				words = append(words, "--inventory", "inventory")
			}
			got := alone(t, folder, words...).shown()
			dhcptest.Golden(t, "check/"+name, strings.ReplaceAll(got, folder, "FOLDER"))
			if diff := cmp.Diff(before, tree(t, folder)); diff != "" {
				t.Errorf("the folder changed (-before +after):\n%s", diff)
			}
		})
	}
}

// tree lists the files of a folder.
func tree(t *testing.T, folder string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCheckFormats has the forms for programs, and the exit statuses.
func TestCheckFormats(t *testing.T) {
	t.Parallel()
	folder := newFolder(t)
	for name, path := range map[string]string{"good.yaml": "good", "config.yaml": "no-smd", "wrong.yaml": "positional"} {
		text, err := os.ReadFile("testdata/check/" + path + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, name), string(text))
	}
	for name, words := range map[string]string{
		"check-json":     "check -c wrong.yaml --inventory inventory --format json",
		"check-yaml":     "check -c wrong.yaml --inventory inventory --format yaml",
		"check-none":     "check -c good.yaml --inventory inventory --format json --strict",
		"check-found":    "check --inventory inventory",
		"check-warnings": "check",
		"check-strict":   "check --strict",
		"check-absent":   "check -c absent.yaml",
		"check-folder":   "check -c files",
		"check-absent2":  "check -c good.yaml --inventory absent",
		"check-broken":   "check -c good.yaml --inventory empty",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dhcptest.Golden(t, name, alone(t, folder, strings.Fields(words)...).shown())
		})
	}
}

// TestCheckFindsNone has a folder without a configuration.
func TestCheckFindsNone(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/etc/coredhcp/config.yaml"); err == nil {
		t.Skip("this host has a configuration")
	}
	want := said{Err: "coresmd: no config.yaml where coredhcp looks for one; wanted -c FILE\n", Status: exitFailed}
	if diff := cmp.Diff(want, alone(t, t.TempDir(), "check")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOffline has configurations explained that no server runs.
func TestOffline(t *testing.T) {
	t.Parallel()
	folder := newFolder(t)
	chain := `server4:
  plugins:
    - server_id: 192.0.2.1
    - file: static.txt
    - dns: 192.0.2.53
    - router: 192.0.2.254
    - coresmd: svc_base_uri=https://smd.example.org ipxe_base_uri=http://127.0.0.1:1 tftp_dir=files http_addr=127.0.0.1:1 audit=audit.log rule=name:named,type:Node,hostname:nid{04d}
    - bootloop: lease_file=leases.db subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.210
`
	write(t, filepath.Join(folder, "static.txt"), "02:00:00:00:00:77 192.0.2.77\n")
	write(t, filepath.Join(folder, "config.yaml"), chain)
	write(t, filepath.Join(folder, "none.yaml"), "server4:\n  plugins:\n    - router: 192.0.2.254\n")
	write(t, filepath.Join(folder, "wrong.yaml"), strings.Replace(chain, "cache_valid", "cache_vaild", 1)+"    - rotuer: x\n")
	write(t, filepath.Join(folder, "broken.yaml"), "server4: [\n")
	write(t, filepath.Join(folder, "words.yaml"), strings.Replace(chain, "tftp_dir", "tftpdir", 1))
	write(t, filepath.Join(folder, "no-smd.yaml"), strings.Replace(chain, "https://smd.example.org", "http://127.0.0.1:1", 1))
	write(t, filepath.Join(folder, "static6.txt"), "02:00:00:00:00:77 2001:db8::77\n")
	write(t, filepath.Join(folder, "six.yaml"), `server6:
  plugins:
    - server_id: LL 02:00:00:00:01:00
    - file: static6.txt
    - dns: 2001:db8::53
    - coresmd: svc_base_uri=https://smd.example.org ipxe_base_uri=http://127.0.0.1:1 tftp_dir=files server_addr6=2001:db8::1
    - bootloop: lease_file=leases.db subnet=2001:db8::/64,pool:2001:db8::1:0-2001:db8::1:ff
`)
	const declared = `svc_base_uri=https://smd.example.org ipxe_base_uri=http://127.0.0.1:1 tftp=off subnet=192.0.2.0/24 subnet=2001:db8::/64 subnet=2001:db8:1::/64`
	both := `server4:
  plugins:
    - server_id: 192.0.2.1
    - coresmd: ` + declared + `
server6:
  plugins:
    - server_id: LL 02:00:00:00:01:00
    - dns: 2001:db8::53
    - coresmd: ` + declared + `
    - bootloop: lease_file=leases6.db subnet=2001:db8:1::/64,pool:2001:db8:1::1000-2001:db8:1::1fff subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1fff
`
	write(t, filepath.Join(folder, "both.yaml"), both)
	write(t, filepath.Join(folder, "both-addr6.yaml"), strings.ReplaceAll(both, "tftp=off", "tftp=off server_addr6=2001:db8::1"))
	before := tree(t, folder)
	for name, words := range map[string]string{
		"offline-direct6":          "explain nid0001 -c both.yaml --inventory inventory --message solicit",
		"offline-addr6":            "explain nid0001 -c both-addr6.yaml --inventory inventory --message renew",
		"offline-renew6":           "explain nid0001 -c both.yaml --inventory inventory --message renew --giaddr 2001:db8::fe",
		"offline-elsewhere6":       "explain nid0001 -c both.yaml --inventory inventory --giaddr 2001:db8:1::fe",
		"offline-direct-stranger6": "explain 02:00:00:00:00:99 -c both-addr6.yaml --inventory inventory --message solicit",
		"offline-stranger6":        "explain 02:00:00:00:00:99 -c both.yaml --inventory inventory --message request --giaddr 2001:db8:1::fe",
		"offline":                  "explain 02:00:00:00:00:01 -c config.yaml --inventory inventory --arch 7",
		"offline-loader":           "explain nid0001 -c config.yaml --inventory inventory --arch 11",
		"offline-six":              "explain x3000c0s0b0n0 -c six.yaml --inventory inventory --message solicit --arch 7",
		"offline-file6":            "explain 02:00:00:00:00:77 -c six.yaml --inventory inventory --message solicit",
		"offline-four":             "explain x3000c0s0b0n0 -c six.yaml --inventory inventory --message discover",
		"offline-alike":            "explain 02:00:00:00:00:11 -c config.yaml --inventory inventory",
		"offline-stranger":         "explain 02:00:00:00:00:99 -c config.yaml --inventory inventory",
		"offline-file":             "explain 02:00:00:00:00:77 -c config.yaml --inventory inventory",
		"offline-lint":             "lint -c config.yaml --inventory inventory",
		"offline-no-smd":           "explain nid0001 -c no-smd.yaml",
		"offline-absent2":          "lint -c config.yaml --inventory absent",
		"offline-empty":            "lint -c config.yaml --inventory empty",
		"offline-none":             "lint -c none.yaml",
		"offline-wrong":            "lint -c wrong.yaml",
		"offline-words":            "explain nid0001 -c words.yaml",
		"offline-broken":           "lint -c broken.yaml",
		"offline-absent":           "lint -c absent.yaml",
		"offline-no-file":          "lint --inventory inventory",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := alone(t, folder, strings.Fields(words)...).shown()
			dhcptest.Golden(t, name, strings.ReplaceAll(got, folder, "TEST_FOLDER"))
		})
	}
	t.Cleanup(func() {
		if diff := cmp.Diff(before, tree(t, folder)); diff != "" {
			t.Errorf("the folder changed (-before +after):\n%s", diff)
		}
	})
}

// TestPlugins has every plugin of our coredhcp known to check.
func TestPlugins(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../resources/plugins.txt")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("core.go")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(text))
	if len(want) != len(all()) {
		t.Errorf("%d plugins, want %d", len(all()), len(want))
	}
	for _, path := range want {
		if !strings.Contains(string(source), `"`+path+`"`) {
			t.Errorf("core.go lacks %s", path)
		}
	}
	if names := pluginNames(); len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
		t.Errorf("twice: %v", names)
	}
}
