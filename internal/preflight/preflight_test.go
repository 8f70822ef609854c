package preflight

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRead has scripts, and what they load.
func TestRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		want   []string
		opaque bool
	}{
		"a boot script service's": {
			"#!ipxe\nkernel --name kernel http://a/k?x=1 root=live:http://a/root.squashfs || goto boot_retry\ninitrd --name initrd http://a/i || goto boot_retry\nboot || goto boot_retry\n:boot_retry\nsleep 30\nchain http://a/script?retry=1\n",
			[]string{"kernel http://a/k?x=1", "initrd http://a/i"},
			false,
		},
		"variables":       {"#!ipxe\nset base http://a\nset image ${base}/k\nkernel ${image} x\ninitrd ${base}/i.img\n", []string{"kernel http://a/k", "initrd http://a/i.img"}, false},
		"the machine's":   {"#!ipxe\nkernel http://a/${buildarch}/k\n", nil, true},
		"relative":        {"#!ipxe\nkernel -n k images/k && initrd i.img && boot\n", []string{"kernel images/k", "initrd i.img"}, false},
		"leads elsewhere": {"#!ipxe\nchain --autofree --timeout 5000 http://b/script\n", []string{"script http://b/script"}, false},
		"nothing":         {"#!ipxe\nshell\nboot kernel\n", nil, false},
		"twice":           {"#!ipxe\nkernel /k\nkernel /k || reboot\nkernel\n", []string{"kernel /k"}, false},
	} {
		s := read(c.script)
		var got []string
		for _, f := range s.images {
			got = append(got, f.what+" "+f.uri)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || s.opaque != c.opaque {
			t.Errorf("%s: opaque %v (-want +got):\n%s", name, s.opaque, diff)
		}
	}
}

// FuzzRead has scripts as they come.
func FuzzRead(f *testing.F) {
	f.Add("#!ipxe\nset a ${a}\nkernel --name k ${a} && initrd -t 5 i.img || boot\nchain ../x\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, i := range read(text).images {
			if i.uri == "" || i.what == "" || strings.Contains(i.uri, "${") {
				t.Errorf("%+v", i)
			}
		}
	})
}

// site serves scripts and images.
func site(t *testing.T) (url string, heads *atomic.Int32) {
	t.Helper()
	heads = new(atomic.Int32)
	mux := http.NewServeMux()
	scripts := map[string]string{
		"fine": "kernel /k\ninitrd i", "kernel": "kernel /none", "both": "kernel /none\ninitrd /gone.img", "refused": "kernel http://127.0.0.1:1/k",
		"nothing": "shell", "opaque": "kernel http://x/${uuid}", "leads": "chain fine", "leads-back": "chain /script/leads-back", "wrong": "kernel http://%zz/", "tftp": "kernel tftp://192.0.2.1/k",
		"get-only": "kernel /get-only",
	}
	for name, text := range scripts {
		mux.HandleFunc("/script/"+name, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "#!ipxe\n"+text) })
	}
	mux.HandleFunc("/script/html", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") })
	mux.HandleFunc("/k", func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			heads.Add(1)
		}
	})
	mux.HandleFunc("/script/i", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /get-only", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL, heads
}

// TestScript has what can be wrong with the script of a machine.
func TestScript(t *testing.T) {
	t.Parallel()
	url, _ := site(t)
	c := New()
	for name, want := range map[string]string{
		"fine": "", "opaque": "", "leads": "", "tftp": "", "get-only": "",
		"none":       "boot script URL/script/none: 404 Not Found",
		"html":       "boot script URL/script/html does not begin with #!ipxe",
		"nothing":    "boot script URL/script/nothing names no kernel",
		"kernel":     "kernel URL/none: 404 Not Found",
		"both":       "kernel URL/none: 404 Not Found\ninitrd URL/gone.img: 404 Not Found",
		"refused":    "kernel http://127.0.0.1:1/k: dial tcp 127.0.0.1:1: connect: connection refused",
		"leads-back": "boot script URL/script/leads-back comes after 3 that only lead to another",
		"wrong":      `kernel "http://%zz/" is no URI`,
	} {
		got := ""
		if err := c.Script(t.Context(), url+"/script/"+name); err != nil {
			got = strings.ReplaceAll(err.Error(), url, "URL")
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestLoader has loaders that need no TFTP server to be told from others.
func TestLoader(t *testing.T) {
	t.Parallel()
	url, _ := site(t)
	c := New()
	for _, x := range []struct{ server, file, want string }{
		{"192.0.2.1", "", "it is told of no boot file"},
		{"", "ipxe.efi", "it is told to load ipxe.efi, and of no server"},
		{"", url + "/k", ""},
		{"", url + "/none", url + "/none: 404 Not Found"},
	} {
		got := ""
		if err := c.Loader(t.Context(), x.server, x.file); err != nil {
			got = err.Error()
		}
		if got != x.want {
			t.Errorf("%q of %q: %q, want %q", x.file, x.server, got, x.want)
		}
	}
}

// TestOnce has many machines with one kernel: it is asked for once.
func TestOnce(t *testing.T) {
	t.Parallel()
	url, heads := site(t)
	c := New()
	var machines sync.WaitGroup
	for range 50 {
		machines.Go(func() {
			if err := c.Script(t.Context(), url+"/script/fine"); err != nil {
				t.Error(err)
			}
		})
	}
	machines.Wait()
	if n := heads.Load(); n != 1 {
		t.Errorf("asked for %d times", n)
	}
}
