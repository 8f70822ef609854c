package test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// fileSite serves boot files by TFTP and HTTP to a host that has an address. The loader is in
// the folder; so is what must not be served.
func fileSite(t *testing.T, words ...string) (s *site, host *dhcptest.Namespace, loader []byte, server *dhcptest.Process) {
	t.Helper()
	s = newWiring(t)
	top := t.TempDir()
	s.tftp = filepath.Join(top, "tftpboot")
	loader = make([]byte, 300_000)
	_, _ = rand.Read(loader)
	err := errors.Join(
		os.MkdirAll(filepath.Join(s.tftp, "sub"), 0o755),
		os.WriteFile(filepath.Join(s.tftp, "ipxe-x86_64.efi"), loader, 0o644),
		os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o644),
		os.Symlink("../secret", filepath.Join(s.tftp, "out")),
		os.Symlink(filepath.Join(top, "secret"), filepath.Join(s.tftp, "out-abs")),
		os.Symlink("..", filepath.Join(s.tftp, "up")),
		os.Symlink("/dev/zero", filepath.Join(s.tftp, "zero")),
		syscall.Mkfifo(filepath.Join(s.tftp, "fifo"), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	inventory := dhcptest.Inventory(t, "[]", `{"Components":[]}`)
	all := append([]string{"svc_base_uri=file://" + inventory, "snapshot_file=off", "ipxe_base_uri=http://192.0.2.1:8081", "tftp_dir=" + s.tftp, "boot_http=8082"}, words...)
	server = s.serve(strings.Join(all, " "))
	host = s.net.Namespace("host")
	host.Attach(s.lan, "eth0", dhcptest.MAC(1), netip.MustParsePrefix("192.0.2.4/24"))
	return s, host, loader, server
}

// fetchers get a file with the programs that administrators use.
var fetchers = map[string]func(ns *dhcptest.Namespace, name, to string) []string{
	"tftp-hpa": func(_ *dhcptest.Namespace, name, to string) []string {
		return []string{"tftp", "-m", "binary", "192.0.2.1", "-c", "get", name, to}
	},
	"curl's tftp": func(_ *dhcptest.Namespace, name, to string) []string {
		return []string{"curl", "-sSf", "--path-as-is", "-o", to, "tftp://192.0.2.1/" + name}
	},
	"curl's tftp, large blocks": func(_ *dhcptest.Namespace, name, to string) []string {
		return []string{"curl", "-sSf", "--path-as-is", "--tftp-blksize", "1468", "-o", to, "tftp://192.0.2.1/" + name}
	},
	"busybox": func(_ *dhcptest.Namespace, name, to string) []string {
		return []string{"busybox", "tftp", "-g", "-r", name, "-l", to, "192.0.2.1"}
	},
	"busybox, large blocks": func(_ *dhcptest.Namespace, name, to string) []string {
		return []string{"busybox", "tftp", "-g", "-b", "1468", "-r", name, "-l", to, "192.0.2.1"}
	},
	"curl by HTTP": func(_ *dhcptest.Namespace, name, to string) []string {
		return []string{"curl", "-sSf", "--path-as-is", "-o", to, "http://192.0.2.1:8082/" + name}
	},
}

// fetch gets a file; nil is none.
func fetch(t *testing.T, ns *dhcptest.Namespace, client, name string) []byte {
	t.Helper()
	to := filepath.Join(t.TempDir(), "file")
	args := fetchers[client](ns, name, to)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, _ = ns.Command(ctx, args[0], args[1:]...).CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s: %s did not end", client, name)
	}
	got, err := os.ReadFile(to)
	if err != nil || len(got) == 0 {
		return nil
	}
	return got
}

// Real clients get files octet for octet, the built-in ones too, and nothing else.
func TestFileClients(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"tftp", "curl", "busybox"} {
		dhcptest.Need(t, tool, map[string]string{"tftp": "tftp-hpa", "curl": "curl", "busybox": "busybox"}[tool])
	}
	for name, words := range map[string][]string{"ports": nil, "single port": {"single_port=true"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, host, loader, _ := fileSite(t, words...)
			for client := range fetchers {
				if got := fetch(t, host, client, "ipxe-x86_64.efi"); !bytes.Equal(got, loader) {
					t.Errorf("%s: got %d octets that differ from the loader's %d", client, len(got), len(loader))
				}
				if got := fetch(t, host, client, "ipxe.efi"); !bytes.Equal(got, loader) {
					t.Errorf("%s: ipxe.efi is not the loader, but %d octets", client, len(got))
				}
				for _, builtIn := range []string{"default", "reboot.ipxe"} {
					if got := string(fetch(t, host, client, builtIn)); !strings.HasPrefix(got, "#!ipxe\n") || !strings.Contains(got, "from 192.0.2.1)") {
						t.Errorf("%s: %s is %q", client, builtIn, got)
					}
				}
				for _, none := range []string{"missing.efi", "../secret", "out", "up/secret", "sub"} {
					if got := fetch(t, host, client, none); got != nil {
						t.Errorf("%s: %s is %q", client, none, got)
					}
				}
			}
		})
	}
}

// answer is what a request by TFTP is answered: an error, or the first octets of a file.
func answer(t *testing.T, ns *dhcptest.Namespace, request []byte) string {
	t.Helper()
	conn, err := ns.ListenPacket("udp4", "192.0.2.4:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.WriteTo(request, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 69}); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 1500)
	n, _, err := conn.ReadFrom(b)
	switch {
	case err != nil:
		return "silence"
	case n >= 4 && b[1] == 5:
		return fmt.Sprintf("error %d %s", binary.BigEndian.Uint16(b[2:]), bytes.TrimRight(b[4:n], "\x00"))
	}
	return fmt.Sprintf("%q", b[:min(n, 40)])
}

// Names in every spelling that could lead outside, and requests that nobody should make: an
// error each, and a line in the log for those that are refused.
func TestFileNames(t *testing.T) {
	t.Parallel()
	_, host, _, server := fileSite(t)
	const denied, missing = "error 2 access violation", "error 1 file not found"
	for name, want := range map[string]string{
		"../secret": denied, "/../secret": denied, "//../secret": denied, "sub/../../secret": denied, "sub/../../../../etc/passwd": denied,
		`..\secret`: denied, `\..\secret`: denied, `sub\..\..\secret`: denied, "./../secret": denied, "..": denied, "../": denied, ".": denied, "/": denied,
		"out": denied, "out-abs": denied, "up/secret": denied, "up": denied, "zero": denied, "fifo": denied, "sub": denied, "sub/": denied,
		"/etc/passwd": missing, "%2e%2e/secret": missing, "%2e%2e%2fsecret": missing, "..%2fsecret": missing, "..;/secret": missing, "...": missing,
		`C:\secret`: missing, "\xc0\xae\xc0\xae/secret": missing, strings.Repeat("n", 512): missing, strings.Repeat("n/", 256): missing,
		"": denied, "ipxe-x86_64.efi\n": missing, "missing": missing,
	} {
		if got := answer(t, host, []byte("\x00\x01"+name+"\x00octet\x00")); got != want {
			t.Errorf("%.40q: %s, want %s", name, got, want)
		}
	}
	if got := answer(t, host, []byte("\x00\x02new\x00octet\x00")); got != "error 4 files cannot be written here" {
		t.Errorf("a write request: %s", got)
	}
	if got := answer(t, host, []byte("\x00\x01default\x00mail\x00")); got != "error 4 the mode must be octet or netascii" {
		t.Errorf("mode mail: %s", got)
	}
	if lines := grep(server.Log(), `level=warning msg=TFTP client="192\.0\.2\.4:\d+" file="\.\./secret"`); strings.Count(lines, "\n") != 1 {
		t.Errorf("the log of ../secret:\n%s", grep(server.Log(), "secret"))
	}
	if n := countLines(server.Log(), "panic"); n != 0 {
		t.Errorf("%d lines of panics", n)
	}
}

// Twenty machines boot at once: their firmware gets a loader by TFTP, iPXE the script by
// HTTP from the service that DHCP names. DHCP is simulated, the files are fetched for real.
func TestRack(t *testing.T) {
	t.Parallel()
	const machines = 20
	s := newWiring(t)
	loader := make([]byte, 1<<20)
	_, _ = rand.Read(loader)
	if err := os.WriteFile(filepath.Join(s.tftp, "ipxe-x86_64.efi"), loader, 0o644); err != nil {
		t.Fatal(err)
	}
	var interfaces, components []map[string]any
	for n := 1; n <= machines; n++ {
		id := fmt.Sprintf("x3000c0s%db0n0", n)
		interfaces = append(interfaces, map[string]any{"MACAddress": dhcptest.MAC(n).String(), "ComponentID": id, "IPAddresses": []any{map[string]any{"IPAddress": fmt.Sprintf("192.0.2.%d", 10+n)}}})
		components = append(components, map[string]any{"ID": id, "Type": "Node", "NID": n})
	}
	text := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	inventory := dhcptest.Inventory(t, text(interfaces), text(map[string]any{"Components": components}))
	s.serve("svc_base_uri=file://" + inventory + " snapshot_file=off ipxe_base_uri=http://192.0.2.1:8081 tftp_dir=" + s.tftp)
	scripts(t, s.server)
	var rack []*dhcptest.Namespace
	for n := 1; n <= machines; n++ {
		ns := s.host(n)
		ns.IP("route", "add", "255.255.255.255", "dev", "eth0")
		rack = append(rack, ns)
	}
	var all sync.WaitGroup
	for n, ns := range rack {
		all.Go(func() {
			if err := bootOnce(ns, n+1, loader); err != nil {
				t.Errorf("machine %d: %v", n+1, err)
			}
		})
	}
	all.Wait()
}

// scripts stands for the boot script service at port 8081 of a host.
func scripts(t *testing.T, ns *dhcptest.Namespace) {
	t.Helper()
	l, err := ns.Listen("192.0.2.1:8081")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /boot/v1/bootscript", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "#!ipxe\necho %s\n", r.URL.Query().Get("mac"))
	})
	server := &http.Server{Handler: mux}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Close(); serving.Wait() })
}

// bootOnce goes through the boot of a UEFI machine.
func bootOnce(ns *dhcptest.Namespace, n int, loader []byte) error {
	offer, err := handshake(ns, n, dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003016")), dhcpv4.WithOption(dhcpv4.OptClientArch(iana.EFI_X86_64)))
	if err != nil {
		return err
	}
	addr := netip.AddrFrom4([4]byte(offer.YourIPAddr.To4()))
	if want := netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + n)}); addr != want || offer.BootFileNameOption() != "ipxe-x86_64.efi" {
		return fmt.Errorf("%v and %q, want %v", addr, offer.BootFileNameOption(), want)
	}
	ns.IP("addr", "add", addr.String()+"/24", "dev", "eth0")
	load, err := roms[n%len(roms)].load(ns, addr, netip.AddrFrom4([4]byte(offer.ServerIPAddr.To4())), offer.BootFileNameOption())
	if err != nil || load.size != len(loader) {
		return fmt.Errorf("loader: %d octets, %w", load.size, err)
	}
	reply, err := handshake(ns, n, dhcpv4.WithUserClass("iPXE", false))
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: ns.Dial, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Get(reply.BootFileNameOption())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var script bytes.Buffer
	_, err = script.ReadFrom(resp.Body)
	if diff := cmp.Diff(fmt.Sprintf("#!ipxe\necho %s\n", dhcptest.MAC(n)), script.String()); diff != "" {
		return fmt.Errorf("script (-want +got):\n%s", diff)
	}
	return err
}

// handshake runs DISCOVER, OFFER, REQUEST, ACK by broadcast and returns the ACK.
func handshake(ns *dhcptest.Namespace, n int, with ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	conn, err := ns.ListenPacket("udp4", ":68")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ask := func(want dhcpv4.MessageType, mods ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
		req, err := dhcpv4.New(append(append(mods, with...), dhcpv4.WithHwAddr(dhcptest.MAC(n)), dhcpv4.WithBroadcast(true))...)
		if err != nil {
			return nil, err
		}
		return answerTo(conn, req, want)
	}
	offer, err := ask(dhcpv4.MessageTypeOffer, dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover))
	if err != nil {
		return nil, err
	}
	return ask(dhcpv4.MessageTypeAck, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())))
}

// answerTo sends a request, again every second, until it is answered.
func answerTo(conn net.PacketConn, req *dhcpv4.DHCPv4, want dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	b := make([]byte, 1500)
	for range 5 {
		if _, err := conn.WriteTo(req.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ServerPort}); err != nil {
			return nil, err
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		for {
			n, _, err := conn.ReadFrom(b)
			if err != nil {
				break
			}
			if reply, err := dhcpv4.FromBytes(b[:n]); err == nil && reply.TransactionID == req.TransactionID && reply.MessageType() == want {
				return reply, nil
			}
		}
	}
	return nil, fmt.Errorf("no %v", want)
}
