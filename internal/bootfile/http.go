package bootfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // net/http takes no other kind of logger; this one is silent
	"net"
	"net/http"
	"net/netip"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

// Bounds of what an HTTP client may take. stallTime is how long it may take
// nothing of what waits for it.
const (
	headerTime = 10 * time.Second
	idleTime   = 30 * time.Second
	stallTime  = 30 * time.Second
	maxHeader  = 8 << 10
	stopTime   = time.Second
)

// contentTypes are the media types of boot files. Firmware that boots by HTTP
// tells from them what to do with a file (UEFI section 24.7); nothing is
// guessed from the content.
var contentTypes = map[string]string{
	".efi":  "application/efi",
	".img":  "application/vnd.efi-img",
	".iso":  "application/vnd.efi-iso",
	".ipxe": "text/plain; charset=utf-8",
	".cfg":  "text/plain; charset=utf-8",
	".txt":  "text/plain; charset=utf-8",
}

// HTTPServer serves the same files as a Server, by HTTP/1.1.
type HTTPServer struct {
	tcp        *net.TCPListener
	listener   net.Listener // the same with a limit
	http       *http.Server
	root       root
	onTransfer func(Transfer)

	leaving atomic.Bool
	served  chan struct{}  // closed when nothing is accepted any more
	conns   sync.WaitGroup // that are open
}

// ListenHTTP binds a TCP address. Of the options SinglePort, Rate and
// MaxPerClient do not apply; MaxTransfers bounds the connections. The errors
// are those of Listen.
func ListenHTTP(o Options) (*HTTPServer, error) {
	files := root{dir: o.Dir, builtIn: o.BuiltIn, alternates: o.Alternates}
	if err := files.check(); err != nil {
		return nil, err
	}
	tcp, err := listenTCP(o)
	if err != nil {
		return nil, err
	}
	if o.OnTransfer == nil {
		o.OnTransfer = func(Transfer) {}
	}
	limit := orDefault(o.MaxTransfers, defaultMaxTransfers)
	s := &HTTPServer{tcp: tcp, listener: netutil.LimitListener(tcp, limit), root: files, onTransfer: o.OnTransfer, served: make(chan struct{})}
	s.http = s.server()
	return s, nil
}

func (s *HTTPServer) server() *http.Server {
	server := &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       headerTime,
		WriteTimeout:      stallTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ConnState:         s.count,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	return server
}

// Addr is the address bound, with the port that was given where 0 was asked.
func (s *HTTPServer) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// Missing reports whether the folder does not exist now.
func (s *HTTPServer) Missing() bool { return s.root.missing() }

// Close frees the address of a server that is not going to Run.
func (s *HTTPServer) Close() error { return s.listener.Close() }

// Run serves until ctx ends or Leave is called, once. When it returns the
// address is free; it returns nil then. Once ctx has ended no connection is open
// either; Leave waits for those that still are.
func (s *HTTPServer) Run(ctx context.Context) error {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		if s.http.Shutdown(within) != nil {
			_ = s.http.Close()
		}
	})
	err := s.http.Serve(s.listener)
	close(s.served)
	if !stop() {
		<-ended
		return nil
	}
	if s.leaving.Load() {
		return nil
	}
	return err
}

// serve answers one request, and tells of it. A panic on the way is an error of
// this request only, and ends its connection.
func (s *HTTPServer) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	t := Transfer{HTTP: true, Name: r.URL.Path}
	client, _ := netip.ParseAddrPort(r.RemoteAddr)
	t.Client = unmapped(client)
	defer func() {
		p := recover()
		if p != nil {
			t.Err = fmt.Errorf("panic: %v", p)
		}
		t.Outcome, t.Took = outcomeOf(t.Err), time.Since(began)
		report(s.onTransfer, t)
		if p != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	t.Err = s.answer(w, r, &t)
}

// answer sends the file, or the status that says why there is none.
func (s *HTTPServer) answer(w http.ResponseWriter, r *http.Request, t *Transfer) error {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "files can only be read here", http.StatusMethodNotAllowed)
		return &failure{outcome: Refused, err: fmt.Errorf("method %q, want GET or HEAD", r.Method)}
	}
	f, err := s.root.open(Asked{Server: localAddr(r), Client: t.Client.Addr(), File: r.URL.Path})
	if err != nil {
		refuse(w, err)
		return err
	}
	defer f.Close()
	t.Size = f.size
	return send(w, r, f, t)
}

// send sends the file, or the ranges of it that are asked for.
func send(w http.ResponseWriter, r *http.Request, f file, t *Transfer) error {
	kind, ok := contentTypes[path.Ext(r.URL.Path)]
	if !ok {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	counted := &countedWriter{ResponseWriter: w, control: http.NewResponseController(w)}
	http.ServeContent(counted, r, "", f.modified, io.NewSectionReader(f, 0, f.size))
	t.Sent = counted.sent
	if counted.err != nil {
		return gone(counted.err)
	}
	return nil
}

// refuse tells why there is no file.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch outcomeOf(err) {
	case Missing:
		status = http.StatusNotFound
	case Refused:
		status = http.StatusForbidden
	}
	var f *failure
	text := http.StatusText(status)
	if errors.As(err, &f) && f.text != "" {
		text = f.text
	}
	http.Error(w, text, status)
}

// localAddr is the address of ours that a client connected to.
func localAddr(r *http.Request) netip.Addr {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// countedWriter counts the octets of a body, and lets a client that takes
// nothing for stallTime go.
type countedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	sent    int64
	err     error
}

func (w *countedWriter) Write(b []byte) (int, error) {
	if err := w.control.SetWriteDeadline(time.Now().Add(stallTime)); err != nil {
		return 0, err
	}
	n, err := w.ResponseWriter.Write(b)
	w.sent += int64(n)
	w.err = err
	return n, err
}
