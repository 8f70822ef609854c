package test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/smd"
)

// An issuer makes tokens, RFC 7519, and gives its public key and its tokens
// over HTTP.
type issuer struct {
	t   *testing.T
	key *rsa.PrivateKey
	url string
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/jwks", i.keys)
	mux.HandleFunc("/token", i.grant)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

// keys answers with the public key as a JWK set, RFC 7517.
func (i *issuer) keys(w http.ResponseWriter, _ *http.Request) {
	n, e := i.key.N.Bytes(), big.NewInt(int64(i.key.E)).Bytes()
	writeJSON(w, map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "kid": "tests", "alg": "RS256", "use": "sig", "n": b64(n), "e": b64(e),
	}}})
}

// grant answers client credentials with a token, RFC 6749 section 4.4.
func (i *issuer) grant(w http.ResponseWriter, r *http.Request) {
	if id, secret, _ := r.BasicAuth(); id != "dhcp" || secret != "s3cret" {
		w.WriteHeader(http.StatusUnauthorized)
		writeJSON(w, map[string]any{"error": "invalid_client"})
		return
	}
	writeJSON(w, map[string]any{"access_token": i.token(time.Hour), "token_type": "bearer", "expires_in": 3600})
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

// token makes a token with the claims that SMD wants, which ends after a time.
func (i *issuer) token(lifetime time.Duration) string {
	i.t.Helper()
	header := b64([]byte(`{"alg":"RS256","kid":"tests","typ":"JWT"}`))
	claims := fmt.Sprintf(`{"sub":"dhcp","iss":%q,"aud":["smd"],"iat":%d,"exp":%d}`, i.url, time.Now().Unix()-1, time.Now().Add(lifetime).Unix())
	signed := header + "." + b64([]byte(claims))
	sum := sha256.Sum256([]byte(signed))
	signature, err := i.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		i.t.Fatal(err)
	}
	return signed + "." + b64(signature)
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// lockedSMD is a real SMD over HTTPS that has one node and then demands tokens
// of an issuer. SMD reads -jwks-url from its environment as well, for which
// the test cannot be parallel.
func lockedSMD(t *testing.T, i *issuer) *dhcptest.SMDServer {
	t.Helper()
	s := dhcptest.StartSMD(t, database.get(t), dhcptest.SMDOptions{TLS: true})
	s.PostComponents(dhcptest.Component{ID: "x3000c0s1b0n0", State: "Ready", Type: "Node", NID: 1})
	s.PostInterfaces(dhcptest.Interface{MAC: dhcptest.MAC(1).String(), ComponentID: "x3000c0s1b0n0", Addresses: dhcptest.IPs("192.0.2.11")})
	s.Stop()
	t.Setenv("SMD_JWKS_URL", i.url+"/jwks")
	s.Start()
	return s
}

// asked is what SMD answers to a GET through a trust, or the error.
func asked(t *testing.T, s *dhcptest.SMDServer, trust smd.Trust, path string) string {
	t.Helper()
	trust.CAFile = s.CAFile
	base, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	transport, err := trust.Transport(base)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	defer c.CloseIdleConnections()
	return get(t, c, s.URL()+"/hsm/v2"+path)
}

func get(t *testing.T, c *http.Client, target string) string {
	t.Helper()
	resp, err := c.Get(target)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Status + ": " + strings.TrimSpace(string(body))
}

// TestTrust has the real SMD decide on tokens. One interface is what it shows
// to nobody without; the collections are open.
func TestTrust(t *testing.T) {
	i, stranger := newIssuer(t), newIssuer(t)
	s := lockedSMD(t, i)
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	endpoint, err := url.Parse(i.url + "/token")
	if err != nil {
		t.Fatal(err)
	}
	granted := func(secret string) smd.Trust {
		return smd.Trust{TokenURL: endpoint, ClientID: "dhcp", ClientSecretFile: file(secret, secret)}
	}
	const ok = "200 OK: "
	for name, c := range map[string]struct {
		trust            smd.Trust
		protected, plain string // how the answers begin
	}{
		"no token":       {smd.Trust{}, "401 Unauthorized: no token found", ok},
		"good":           {smd.Trust{TokenFile: file("good", i.token(time.Hour)+"\n")}, ok, ok},
		"expired":        {smd.Trust{TokenFile: file("expired", i.token(-time.Minute))}, "401 Unauthorized: token is expired", ok},
		"somebody's":     {smd.Trust{TokenFile: file("stranger", stranger.token(time.Hour))}, "401 Unauthorized: token is unauthorized", ok},
		"from a grant":   {granted("s3cret"), ok, ok},
		"without secret": {granted("wrong"), `Get "`, `Get "`},
	} {
		t.Run(name, func(t *testing.T) {
			const id = "/Inventory/EthernetInterfaces/020000000001"
			begins(t, asked(t, s, c.trust, id), c.protected)
			begins(t, asked(t, s, c.trust, "/Inventory/EthernetInterfaces"), c.plain)
			begins(t, asked(t, s, c.trust, "/State/Components"), c.plain)
		})
	}
}

func begins(t *testing.T, got, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s...", got, want)
	}
}

// TestTokenRotates has a token end and its file written anew while the client
// goes on.
func TestTokenRotates(t *testing.T) {
	i := newIssuer(t)
	s := lockedSMD(t, i)
	file := filepath.Join(t.TempDir(), "token")
	write := func(lifetime time.Duration) {
		if err := os.WriteFile(file, []byte(i.token(lifetime)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(2 * time.Second)
	base, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	transport, err := smd.Trust{CAFile: s.CAFile, TokenFile: file}.Transport(base)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	t.Cleanup(c.CloseIdleConnections)
	until := func(want string) {
		t.Helper()
		dhcptest.Eventually(t, takesUp, func() error {
			if got := get(t, c, s.URL()+"/hsm/v2/Inventory/EthernetInterfaces/020000000001"); !strings.HasPrefix(got, want) {
				return fmt.Errorf("got %s, want %s", got, want)
			}
			return nil
		})
	}
	until(`200 OK: {"ID":"020000000001"`)
	until("401 Unauthorized: token is expired")
	write(time.Hour)
	until(`200 OK: {"ID":"020000000001"`)
}

// TestCARotates has the server believe SMD's authority as soon as the file
// holds it, without a restart.
func TestCARotates(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{TLS: true})
	s.addNode(1, "192.0.2.11")
	file := filepath.Join(t.TempDir(), "ca.pem")
	dhcptest.NewAuthority(t, "somebody else").WriteFile(file)
	dhcp := s.serve(fmt.Sprintf("svc_base_uri=%s ipxe_base_uri=http://192.0.2.1:8081 ca_cert=%s cache_valid=1s lease_time=1h tftp_dir=%s", s.smd.URL(), file, s.tftp))
	dhcp.WaitLog(`certificate signed by unknown authority`, takesUp)
	right, err := os.ReadFile(s.smd.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	write := func(content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(right)
	dhcp.WaitLog(`1 machines`, takesUp)
	write([]byte("junk"))
	dhcp.WaitLog(`level=warning.*holds no certificate; wanted PEM; what was read before goes on`, takesUp)
	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(s.host(1), "eth0", dhcptest.ClientOptions{}))
}
