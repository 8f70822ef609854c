package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

// TestDiff has two configurations that answer some machines differently.
func TestDiff(t *testing.T) {
	t.Parallel()
	folder := newFolder(t)
	chain := `server4:
  plugins:
    - server_id: 192.0.2.1
    - dns: 192.0.2.53
    - coresmd: svc_base_uri=https://smd.example.org ipxe_base_uri=http://127.0.0.1:1 tftp_dir=files rule=type:Node,hostname:nid{04d}
    - bootloop: lease_file=leases.db subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.210
`
	write(t, filepath.Join(folder, "old.yaml"), chain)
	write(t, filepath.Join(folder, "new.yaml"), strings.Replace(chain, "rule=", "rule=id:x3000c0s1b0n0,ignore:true rule=type:Node,bootfile:other.efi,continue:true rule=", 1))
	write(t, filepath.Join(folder, "broken.yaml"), strings.Replace(chain, "tftp_dir", "tftpdir", 1))
	before := tree(t, folder)
	same := said{Out: "4 machines compared, 0 answered differently\n"}
	if diff := cmp.Diff(same, alone(t, folder, "diff", "old.yaml", "old.yaml", "--inventory", "inventory")); diff != "" {
		t.Errorf("the same (-want +got):\n%s", diff)
	}
	dhcptest.Golden(t, "diff", alone(t, folder, "diff", "old.yaml", "new.yaml", "--inventory", "inventory").shown())
	dhcptest.Golden(t, "diff-json", alone(t, folder, "diff", "old.yaml", "new.yaml", "--inventory", "inventory", "--format", "json").shown())
	wrong := alone(t, folder, "diff", "old.yaml", "broken.yaml", "--inventory", "inventory")
	if wrong.Status != exitFailed || !strings.Contains(wrong.Err, `unknown key "tftpdir"`) {
		t.Errorf("%+v", wrong)
	}
	if diff := cmp.Diff(before, tree(t, folder)); diff != "" {
		t.Errorf("the folder changed (-before +after):\n%s", diff)
	}
}
