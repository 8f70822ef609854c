//go:build firmware

package firmware

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// A machine boots Linux all the way: kernel and initrd come by HTTP from the server of boot
// files, Linux starts, and its first program tells so.
func TestLinux(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mac := dhcptest.MAC(1)
	s.addNode(mac, known)
	copyFile(t, filepath.Join(s.tftp, "vmlinuz"), parts(t, "vmlinuz"), "make build/firmware-parts")
	if err := os.WriteFile(filepath.Join(s.tftp, "initrd"), initrd(t), 0o644); err != nil {
		t.Fatal(err)
	}
	s.addScript(mac, "kernel http://${next-server}:8082/vmlinuz console=ttyS0 panic=-1 MACHINE=${netX/mac}\ninitrd http://${next-server}:8082/initrd\nboot")
	s.serve("boot_http=8082")
	m := s.power(1, append(bios("virtio-net-pci"), "-no-reboot")...)
	m.waitConsole("Linux version", 2*time.Minute)
	s.booted(m, 3*time.Minute)
	s.handshakes(ack{known, scriptOf(mac)})
}

// parts returns the path of a file that the Makefile takes out of a package of Debian.
func parts(t *testing.T, name string) string {
	t.Helper()
	root, err := dhcptest.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "build", "firmware-parts", name)
}

// initrd is a file system of one program, which prints the marker of the machine and switches
// it off.
func initrd(t *testing.T) []byte {
	t.Helper()
	busybox, err := os.ReadFile(parts(t, "busybox"))
	if err != nil {
		t.Fatalf("%v: make build/firmware-parts", err)
	}
	var b bytes.Buffer
	archive := cpio{to: &b}
	archive.add("dev", 0o40755, nil, 0, 0)
	archive.add("dev/console", 0o20600, nil, 5, 1)
	archive.add("bin", 0o40755, nil, 0, 0)
	archive.add("bin/busybox", 0o100755, busybox, 0, 0)
	archive.add("init", 0o100755, []byte("#!/bin/busybox sh\necho BOOTED $MACHINE\n/bin/busybox poweroff -f\n"), 0, 0)
	archive.add("TRAILER!!!", 0, nil, 0, 0)
	return b.Bytes()
}

// cpio writes the archive format of an initrd, "newc".
type cpio struct {
	to    *bytes.Buffer
	inode int
}

func (c *cpio) add(name string, mode int, content []byte, major, minor int) {
	c.inode++
	fmt.Fprintf(c.to, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.inode, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name)+1, 0)
	c.to.WriteString(name + "\x00")
	c.pad()
	c.to.Write(content)
	c.pad()
}

func (c *cpio) pad() {
	for c.to.Len()%4 != 0 {
		c.to.WriteByte(0)
	}
}
