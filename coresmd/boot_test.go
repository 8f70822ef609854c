package coresmd

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// freeTCP returns a TCP port of the loopback interface that nobody has.
func freeTCP(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// bootReply is what a client that boots notices of a reply.
type bootReply struct{ Class, File, Name, Next, Root string }

func (b bench) boots(t *testing.T, with ...dhcpv4.Modifier) bootReply {
	t.Helper()
	reply, _ := dhcptest.Exchange4(t, dhcptest.Request4(t, node, discover, with...), dhcptest.ServerID("192.0.2.1"), b.handle)
	if reply == nil {
		t.Fatal("no reply")
	}
	text := func(code uint8) string { return string(reply.Options[code]) }
	return bootReply{text(60), reply.BootFileName, text(67), reply.ServerIPAddr.String(), text(17)}
}

// Firmware that boots by HTTP is told a URL where there is a server, and gets
// the file and the built-in scripts there.
func TestHTTPBoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ipxe-x86_64.efi"), []byte("loader"), 0o644); err != nil {
		t.Fatal(err)
	}
	port := freeTCP(t)
	at := fmt.Sprintf("127.0.0.1:%d", port)
	b := known(t, "tftp_dir="+dir, "boot_http="+at)
	url := "http://" + at + "/ipxe-x86_64.efi"
	if diff := cmp.Diff(bootReply{Class: "HTTPClient", Name: url, Next: "192.0.2.1"}, b.boots(t, httpClient)); diff != "" {
		t.Errorf("reply (-want +got):\n%s", diff)
	}
	for url, want := range map[string]string{url: "200 application/efi loader", "http://" + at + "/default": "200 application/octet-stream #!ipxe"} {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 6)
		_, err = io.ReadFull(resp.Body, body)
		resp.Body.Close()
		if got := fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Content-Type"), " ", string(body)); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", url, got, err, want)
		}
	}
	b.p.Stop()
	if l, err := net.Listen("tcp", at); err != nil {
		t.Errorf("the address is still taken: %v", err)
	} else {
		l.Close()
	}
}

// What the words of a directive change in replies.
func TestBootWords(t *testing.T) {
	t.Parallel()
	const script = "http://192.0.2.1:8081/boot/v1/bootscript?mac=02:00:00:00:00:01"
	without := raw(175, 0x15, 1, 1) // TFTP, no HTTP
	for name, c := range map[string]struct {
		words []string
		with  []dhcpv4.Modifier
		want  bootReply
	}{
		"an architecture": {
			[]string{"bootfile_arch=39:loong.efi"},
			mods(pxe(iana.NEC_PC98, 39)),
			bootReply{"", "loong.efi", "loong.efi", "192.0.2.1", "192.0.2.1"},
		},
		"in place of the usual": {
			[]string{"bootfile_arch=efi-x86-64:grub.efi"},
			mods(pxe(iana.EFI_X86_64)),
			bootReply{"", "grub.efi", "grub.efi", "192.0.2.1", "192.0.2.1"},
		},
		"a URL": {
			[]string{"bootfile_arch=16:http://files.example.org/a.efi"},
			mods(httpClient),
			bootReply{"HTTPClient", "", "http://files.example.org/a.efi", "192.0.2.1", ""},
		},
		"an address of the TFTP server": {
			[]string{"tftp_addr=127.0.0.5"},
			mods(pxe(iana.INTEL_X86PC)),
			bootReply{"", "undionly.kpxe", "undionly.kpxe", "127.0.0.5", "127.0.0.5"},
		},
		"a rule's file, server and option 43": {
			[]string{"rule=bootfile:grub.efi,next_server:192.0.2.9,option:43=0x060108ff"},
			mods(pxe(iana.EFI_X86_64)),
			bootReply{"PXEClient", "grub.efi", "grub.efi", "192.0.2.9", "192.0.2.9"},
		},
		"a rule's option 43 that says something else": {
			[]string{"rule=option:43=0x010101ff"},
			mods(pxe(iana.EFI_X86_64)),
			bootReply{"", "ipxe-x86_64.efi", "ipxe-x86_64.efi", "192.0.2.1", "192.0.2.1"},
		},
		"a rule's file by HTTP": {
			[]string{"rule=bootfile:http://files.example.org/b.efi"},
			mods(httpClient),
			bootReply{"HTTPClient", "", "http://files.example.org/b.efi", "192.0.2.1", ""},
		},
		"iPXE without HTTP": {
			nil, mods(pxe(iana.EFI_X86_64), without),
			bootReply{"", "ipxe-x86_64.efi", "ipxe-x86_64.efi", "192.0.2.1", "192.0.2.1"},
		},
		"iPXE without HTTP nor loader": {
			nil, mods(pxe(iana.NEC_PC98), without),
			bootReply{"", "", script, "192.0.2.1", "192.0.2.1"},
		},
	} {
		b := known(t, c.words...)
		if diff := cmp.Diff(c.want, b.boots(t, c.with...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// bootloop finds what coresmd tells machines, and directives that differ are
// an error.
func TestBootShared(t *testing.T) {
	t.Parallel()
	p := process.New()
	t.Cleanup(p.Stop)
	folder := dhcptest.Inventory(t, testInterfaces, testComponents)
	begin := func(more string) error {
		c, err := parse([]string{"svc_base_uri=file://" + folder, "ipxe_base_uri=http://192.0.2.1:8081/", "tftp=off", more})
		if err == nil {
			_, err = start(c, p, known(t).plugin.log)
		}
		return err
	}
	if err := begin("bootfile_arch=39:a.efi"); err != nil {
		t.Fatal(err)
	}
	boot, ok := process.Find[*netboot.Boot](p, "boot files")
	if !ok || boot.Loaders[39] != "a.efi" || boot.Next(netip.MustParseAddr("192.0.2.1")).String() != "192.0.2.1" {
		t.Errorf("found %v %+v", ok, boot)
	}
	err := begin("bootfile_arch=39:b.efi")
	const want = "coresmd: boot files: two directives of one process differ: bootfile_arch=39:a.efi, and bootfile_arch=39:b.efi"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A port that is taken is an error of the start, which names it.
func TestHTTPBootPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := parse([]string{"svc_base_uri=file:///does/not/exist", "ipxe_base_uri=http://bss", "tftp=off", "boot_http=" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	p := process.New()
	t.Cleanup(p.Stop)
	_, err = start(c, p, known(t).plugin.log)
	if want := fmt.Sprintf("coresmd: boot_http: listen tcp %s: bind: address already in use", l.Addr()); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
