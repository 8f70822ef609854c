package dhcptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smdModule is the module of the real SMD, pinned in test/smd/go.mod.
const smdModule = "github.com/OpenCHAMI/smd/v2"

// SMDBinaries is where the built programs of the real SMD are, and its migrations.
type SMDBinaries struct{ Server, Init, Migrations string }

// BuildSMD builds the real SMD and its schema tool into bin/test, unless they are there
// and newer than the module file that pins them.
func BuildSMD() (SMDBinaries, error) {
	root, err := RepoRoot()
	if err != nil {
		return SMDBinaries{}, err
	}
	pin := filepath.Join(root, "test", "smd")
	cache := filepath.Join(root, "bin", "test")
	bin := SMDBinaries{Server: filepath.Join(cache, "smd"), Init: filepath.Join(cache, "smd-init")}
	unlock, err := lockDir(cache)
	if err != nil {
		return SMDBinaries{}, err
	}
	defer unlock()
	for path, cmd := range map[string]string{bin.Server: "/cmd/smd", bin.Init: "/cmd/smd-init"} {
		if newer(path, filepath.Join(pin, "go.mod")) {
			continue
		}
		if _, err := goTool(pin, "build", "-o", path, smdModule+cmd); err != nil {
			return SMDBinaries{}, err
		}
	}
	dir, err := goTool(pin, "list", "-m", "-f", "{{.Dir}}", smdModule)
	if err != nil {
		return SMDBinaries{}, err
	}
	bin.Migrations = filepath.Join(dir, "migrations", "postgres")
	return bin, nil
}

// lockDir makes a folder and holds a lock on it: test packages run side by side.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(dir, ".lock"))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// newer tells whether path exists and is not older than what it was made from.
func newer(path, source string) bool {
	p, err := os.Stat(path)
	if err != nil {
		return false
	}
	s, err := os.Stat(source)
	return err == nil && !p.ModTime().Before(s.ModTime())
}

// goTool runs the go command in the folder of another module and returns what it printed.
func goTool(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s in %s: %w\n%s", strings.Join(args, " "), dir, err, &stderr)
	}
	return strings.TrimSpace(string(out)), nil
}

// Component is what SMD calls a component, as its REST API takes it.
type Component struct {
	ID    string `json:"ID"`
	State string `json:"State"`
	Type  string `json:"Type,omitempty"`
	NID   int    `json:"NID,omitempty"`
	Role  string `json:"Role,omitempty"`

	Enabled *bool `json:"Enabled,omitempty"`
}

// Interface is an EthernetInterface as SMD's REST API takes it.
type Interface struct {
	MAC         string      `json:"MACAddress"`
	ComponentID string      `json:"ComponentID,omitempty"`
	Description string      `json:"Description,omitempty"`
	Addresses   []IPAddress `json:"IPAddresses"`
}

// IPAddress is an address of an Interface.
type IPAddress struct {
	IP      string `json:"IPAddress"`
	Network string `json:"Network,omitempty"`
}

// IPs returns the addresses as SMD wants them.
func IPs(addrs ...string) []IPAddress {
	ips := make([]IPAddress, 0, len(addrs))
	for _, addr := range addrs {
		ips = append(ips, IPAddress{IP: addr})
	}
	return ips
}

// SMDOptions is how an SMD is run.
type SMDOptions struct {
	// Namespace is where SMD listens and is talked to; nil is the host's.
	Namespace *Namespace
	// Listen is the literal address and port; empty is 127.0.0.1 and the usual port in a
	// namespace, a free one on the host.
	Listen string
	// TLS serves HTTPS with a certificate of a private authority, see SMDServer.CAFile.
	TLS bool
	// Down leaves SMD to be started later.
	Down bool
}

// SMDServer is a real SMD on a database of its own.
type SMDServer struct {
	// CAFile is the certificate of the private authority with TLS, else empty.
	CAFile string

	t        testing.TB
	pg       *Postgres
	options  SMDOptions
	database string
	cert     string // file names, empty without TLS
	key      string
	http     *http.Client
	proc     *Process
}

// StartSMD starts a real SMD and returns when it answers. It is stopped when the test ends.
func StartSMD(t testing.TB, pg *Postgres, opts SMDOptions) *SMDServer {
	t.Helper()
	s := &SMDServer{t: t, pg: pg, options: opts, database: fmt.Sprintf("smd%d", pg.seq.Add(1))}
	if s.options.Listen == "" {
		s.options.Listen = s.defaultListen()
	}
	if err := pg.createDB(s.database, "-T", pgTemplate); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: s.dial, DisableKeepAlives: true}
	if opts.TLS {
		transport.TLSClientConfig = &tls.Config{RootCAs: s.makeCertificates()}
	}
	s.http = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	if !opts.Down {
		s.Start()
	}
	return s
}

// defaultListen is SMD's usual port where nobody else can have it, else a free one.
func (s *SMDServer) defaultListen() string {
	if s.options.Namespace != nil {
		return "127.0.0.1:27779"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// dial connects to SMD from where it listens.
func (s *SMDServer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.options.Namespace != nil {
		return s.options.Namespace.Dial(ctx, network, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// Start starts SMD on the database it had before, and returns when it answers.
func (s *SMDServer) Start() {
	s.t.Helper()
	args := append(s.pg.smdArgs(s.database), "-http-listen", s.options.Listen, "-tls-cert", s.cert, "-tls-key", s.key)
	cmd := exec.Command(s.pg.SMD.Server, args...)
	if s.options.Namespace != nil {
		cmd = s.options.Namespace.Command(context.Background(), s.pg.SMD.Server, args...)
	}
	s.proc = StartProcess(s.t, "smd", cmd)
	Eventually(s.t, 20*time.Second, func() error {
		_, err := s.call(http.MethodGet, "/service/ready", nil)
		return err
	})
}

// Stop ends SMD; the database stays as it is.
func (s *SMDServer) Stop() {
	s.t.Helper()
	s.proc.Stop()
}

// SQL runs a script on SMD's database, past SMD: to fill a large inventory.
func (s *SMDServer) SQL(script string) error {
	args := []string{"-h", s.pg.dir, "-p", pgPort, "-U", pgUser, "-d", s.database, "-v", "ON_ERROR_STOP=1", "-q", "-f", "-"}
	cmd := exec.Command(filepath.Join(s.pg.bin, "psql"), args...)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w\n%s", err, out)
	}
	return nil
}

// Address returns where it listens.
func (s *SMDServer) Address() string { return s.options.Listen }

// URL returns the base that svc_base_uri takes.
func (s *SMDServer) URL() string {
	if s.options.TLS {
		return "https://" + s.options.Listen
	}
	return "http://" + s.options.Listen
}

// PostComponents adds components, or changes those that are there.
func (s *SMDServer) PostComponents(components ...Component) {
	s.t.Helper()
	s.must(http.MethodPost, "/State/Components", map[string]any{"Components": components, "force": true})
}

// PostInterfaces adds interfaces.
func (s *SMDServer) PostInterfaces(interfaces ...Interface) {
	s.t.Helper()
	for _, i := range interfaces {
		s.must(http.MethodPost, "/Inventory/EthernetInterfaces", i)
	}
}

// PatchInterface gives the interface with this MAC other addresses.
func (s *SMDServer) PatchInterface(mac string, addrs []IPAddress) {
	s.t.Helper()
	s.must(http.MethodPatch, interfacePath(mac), map[string]any{"IPAddresses": addrs})
}

// DeleteInterface removes the interface with this MAC.
func (s *SMDServer) DeleteInterface(mac string) {
	s.t.Helper()
	s.must(http.MethodDelete, interfacePath(mac), nil)
}

// interfacePath is the path of one interface: SMD's id is the MAC without its colons.
func interfacePath(mac string) string {
	return "/Inventory/EthernetInterfaces/" + strings.ReplaceAll(strings.ToLower(mac), ":", "")
}

// must makes a call that fails the test when it fails.
func (s *SMDServer) must(method, path string, body any) {
	s.t.Helper()
	if _, err := s.call(method, path, body); err != nil {
		s.t.Fatal(err)
	}
}

// call makes a call of SMD's REST API and returns the body of a good answer.
func (s *SMDServer) call(method, path string, body any) ([]byte, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, s.URL()+"/hsm/v2"+path, reader)
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	return text, err
}

// makeCertificates makes a private authority and SMD's certificate, and returns the pool
// that trusts it.
func (s *SMDServer) makeCertificates() *x509.CertPool {
	s.t.Helper()
	host, _, err := net.SplitHostPort(s.options.Listen)
	if err != nil {
		s.t.Fatal(err)
	}
	dir := s.t.TempDir()
	ca := NewAuthority(s.t, "tests of coresmd")
	s.CAFile, s.cert, s.key = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	ca.WriteFile(s.CAFile)
	ca.Issue(host, s.cert, s.key)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}
