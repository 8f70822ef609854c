package coresmd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// TestSecondProcessor has SMD read where Go has one processor: there are two
// meanwhile. This test is alone: the number is that of the whole program.
func TestSecondProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var seen atomic.Int64
	smd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(int64(runtime.GOMAXPROCS(0)))
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "Components") {
			fmt.Fprint(w, testComponents)
			return
		}
		fmt.Fprint(w, testInterfaces)
	}))
	defer smd.Close()
	b := newBench(t, "svc_base_uri="+smd.URL, "ipxe_base_uri=http://192.0.2.1:8081/")
	if known := b.plugin.cache.Status().Machines; known == 0 || seen.Load() != 2 {
		t.Errorf("%d processors, %d machines", seen.Load(), known)
	}
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors after it", n)
	}
}
