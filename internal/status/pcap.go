package status

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// typePcap is the media type of pcapng, which has no registered one.
const typePcap = "application/x-pcapng"

// A Capture writes recorded packets to w. An error that it returns before anything
// was written is the answer; after that the answer ends.
type Capture func(q Params, w io.Writer) error

// A begun writer tells the type of what is written.
type begun struct {
	http.ResponseWriter
	begun bool
}

func (b *begun) Write(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		b.Header().Set("Content-Type", typePcap)
		b.Header().Set("Content-Disposition", `attachment; filename="coresmd.pcapng"`)
	}
	return b.ResponseWriter.Write(p)
}

// pcap answers with packets.
func (s *Server) pcap(w http.ResponseWriter, r *http.Request) {
	params, err := parse(r.URL.RawQuery, []string{"machine"})
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	b := &begun{ResponseWriter: w}
	err = s.opts.Capture(params, b)
	switch {
	case err == nil:
	case b.begun:
		panic(http.ErrAbortHandler) // so that the client sees that it is not all
	default:
		failed(w, err)
	}
}

// Pcap asks for recorded packets, and writes them to w. What the server refuses is
// an error with its words.
func (c *Client) Pcap(ctx context.Context, params Params, w io.Writer) error {
	resp, err := c.ask(ctx, PathPcap, params)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != typePcap {
		return answered(resp, new(struct{}))
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("reading the packets: %w", err)
	}
	return nil
}
