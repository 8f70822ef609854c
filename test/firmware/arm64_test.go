//go:build firmware

package firmware

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// arm64 is a machine with AAVMF that boots by AAVMF's own PXE client.
func arm64(t *testing.T) []string {
	t.Helper()
	vars := filepath.Join(t.TempDir(), "vars.fd")
	copyFile(t, vars, "/usr/share/AAVMF/AAVMF_VARS.fd", "qemu-efi-aarch64")
	return []string{
		"-machine", "virt", "-cpu", "cortex-a57",
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/AAVMF/AAVMF_CODE.fd",
		"-drive", "if=pflash,format=raw,unit=1,file=" + vars,
		"-device", "virtio-net-pci,netdev=n0,mac=MAC,bootindex=0,romfile=",
	}
}

// Firmware of ARM64 loads the file that is meant for it, and runs it. Debian 12 has no iPXE for
// ARM64, so a program stands for it that prints a text and switches the machine off.
func TestARM64(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mac := dhcptest.MAC(1)
	s.addNode(mac, known)
	if err := os.WriteFile(filepath.Join(s.tftp, "ipxe-arm64.efi"), armProgram(marker(mac)+"\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.serve()
	m := s.powerOf("qemu-system-aarch64", "qemu-system-arm", 1, arm64(t)...)
	m.waitConsole(marker(mac), 4*time.Minute)
	if err := m.Wait(20 * time.Second); err != nil {
		t.Errorf("qemu: %v", err)
	}
	s.handshakes(ack{known, "ipxe-arm64.efi"})
}

// armProgram is a UEFI program for ARM64 that prints a text and switches the machine off: a
// PE file with one section of code, followed by the text.
func armProgram(text string) []byte {
	const headers, base = 0x200, 0x1000
	code := []uint32{
		0xaa0103f3,         // mov x19, x1         the system table
		0xf9402260,         // ldr x0, [x19, 64]   its ConOut
		0xf9400402,         // ldr x2, [x0, 8]     OutputString
		0x10000001 | 10<<5, // adr x1, text        ten instructions on
		0xd63f0040,         // blr x2
		0xf9402e64,         // ldr x4, [x19, 88]   the runtime services
		0xf9403484,         // ldr x4, [x4, 104]   ResetSystem
		0xd2800040,         // mov x0, 2           shut down
		0xd2800001,         // mov x1, 0
		0xd2800002,         // mov x2, 0
		0xd2800003,         // mov x3, 0
		0xd63f0080,         // blr x4
		0x14000000,         // b .
	}
	var section bytes.Buffer
	put := func(b *bytes.Buffer, values ...any) {
		for _, v := range values {
			_ = binary.Write(b, binary.LittleEndian, v)
		}
	}
	put(&section, code, utf16.Encode([]rune(text+"\x00")))
	size := uint32(section.Len())
	var file bytes.Buffer
	put(&file, []byte("MZ"), make([]byte, 58), uint32(64), []byte("PE\x00\x00"))
	put(&file, uint16(0xaa64), uint16(1), make([]byte, 12), uint16(240), uint16(0x22)) // machine, sections, size of what follows
	put(&file, uint16(0x20b), uint16(0), uint32(0x200), uint32(0), uint32(0), uint32(base), uint32(base), uint64(0))
	put(&file, uint32(0x1000), uint32(0x200), make([]byte, 16), uint32(2*base), uint32(headers), uint32(0), uint16(10), uint16(0))
	put(&file, make([]byte, 36), uint32(16), make([]byte, 128))
	put(&file, []byte(".text\x00\x00\x00"), size, uint32(base), uint32(0x200), uint32(headers), make([]byte, 12), uint32(0x60000020))
	file.Write(make([]byte, headers-file.Len()))
	file.Write(section.Bytes())
	file.Write(make([]byte, 0x200-section.Len()))
	return file.Bytes()
}
