package smd

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// answers is a server that answers the interfaces with a handler and the
// components well.
func answers(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc(interfacesPath, handle)
	mux.HandleFunc(componentsPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, components)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return client(t, server.URL, "")
}

func client(t *testing.T, text, caFile string) *Client {
	t.Helper()
	base, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(base, Trust{CAFile: caFile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

func octets(t *testing.T, b Body) string {
	t.Helper()
	read, err := io.ReadAll(b.open())
	if err != nil {
		t.Fatal(err)
	}
	return string(read)
}

func reply(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	c := answers(t, reply(200, "application/json; charset=utf-8", "[]"))
	got, err := c.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"[]", components}, []string{octets(t, got.Interfaces), octets(t, got.Components)}); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// TestRefused has answers that are not believed, and what is said of each.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		want   string
	}{
		"500":         {reply(500, "application/problem+json", `{"title":"x"}`), `500 Internal Server Error: "{\"title\":\"x\"}"`},
		"500 as json": {reply(500, "application/json", `[]`), `500 Internal Server Error: "[]"`},
		"401":         {reply(401, "text/plain", "no token found"), `401 Unauthorized: SMD wants a token (token_file or token_url): "no token found"`},
		"404":         {reply(404, "text/plain", "nothing"), `404 Not Found: "nothing"`},
		"204":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, `204 No Content: ""`},
		"empty 200":   {reply(200, "application/json", ""), `200 with an empty body: no such collection`},
		"HTML":        {reply(200, "text/html", "<html>login</html>"), `content type "text/html" where application/json belongs: "<html>login</html>"`},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, `redirect to http://192.0.2.1/ refused`},
		"round": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, `more than 5 redirects`},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			fmt.Fprint(w, "[")
		}, `unexpected EOF`},
		"reset":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, `EOF`},
		"long excerpt": {reply(503, "text/plain", strings.Repeat("x", 999)), `503 Service Unavailable: "` + strings.Repeat("x", 160) + `"...`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			smd := answers(t, c.handle)
			_, err := smd.Fetch(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff("GET "+smd.base.String()+interfacesPath+": "+c.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPatience has servers that never come to an end, and a limit of size.
func TestPatience(t *testing.T) {
	t.Parallel()
	drip := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for r.Context().Err() == nil {
			fmt.Fprint(w, " ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	halt := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "[")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for name, c := range map[string]struct {
		handle       http.HandlerFunc
		stall, total time.Duration
		size         int64
		want         string
	}{
		"drips":     {drip, time.Minute, 200 * time.Millisecond, 1 << 20, "not answered within 200ms"},
		"hangs":     {hang, 50 * time.Millisecond, time.Minute, 1 << 20, "no octet for 50ms"},
		"halts":     {halt, 50 * time.Millisecond, time.Minute, 1 << 20, "no octet for 50ms"},
		"too large": {reply(200, "application/json", "[0,0,0,0,0,0]"), time.Minute, time.Minute, 10, "answer is larger than 10 octets"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			smd := answers(t, c.handle)
			smd.stall, smd.total, smd.size = c.stall, c.total, c.size
			_, err := smd.Fetch(t.Context())
			if want := "GET " + smd.base.String() + interfacesPath + ": " + c.want; err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	_, err := client(t, "http://127.0.0.1:1", "").Fetch(t.Context())
	want := "GET http://127.0.0.1:1/hsm/v2/Inventory/EthernetInterfaces: dial tcp 127.0.0.1:1: connect: connection refused"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestBaseWithPath(t *testing.T) {
	t.Parallel()
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "[]")
	}))
	t.Cleanup(server.Close)
	if _, err := client(t, server.URL+"/apis/smd/", "").Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"/apis/smd/hsm/v2/Inventory/EthernetInterfaces", "/apis/smd/hsm/v2/State/Components"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

// TestCertificates has SMD's own certificate verified against a file.
func TestCertificates(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(reply(200, "application/json", "[]"))
	t.Cleanup(server.Close)
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	right := file("right.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	if _, err := client(t, server.URL, right).Fetch(t.Context()); err != nil {
		t.Errorf("right certificate: %v", err)
	}
	_, err := client(t, server.URL, "").Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("system's roots: %v", err)
	}
	base := &url.URL{Scheme: "https", Host: "smd.example.org"}
	empty := file("empty.pem", "no PEM here")
	_, err = NewClient(base, Trust{CAFile: empty})
	if want := "reading ca_cert: " + empty + " holds no certificate; wanted PEM"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = NewClient(base, Trust{CAFile: filepath.Join(folder, "none.pem")})
	if want := "reading ca_cert: open " + folder + "/none.pem: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if !errors.Is(err, os.ErrNotExist) {
		t.Error("the cause is lost")
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	_, err := Folder{folder}.Fetch(context.Background())
	if want := "reading inventory: stat " + folder + "/EthernetInterfaces.json: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if err := os.Mkdir(filepath.Join(folder, "EthernetInterfaces.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Folder{folder}.Fetch(context.Background())
	if want := "reading inventory: " + folder + "/EthernetInterfaces.json is not a regular file"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
