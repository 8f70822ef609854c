package status

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Limits of who follows events.
const (
	messageLimit = 4 << 20       // octets
	silenceLimit = 4 * tickEvery // after which a server is not there any more
)

// Follow calls each for the events that come from now on, until ctx ends or
// the server goes away.
func (c *Client) Follow(ctx context.Context, each func(Events) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+PathEvents, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: c.http.Transport}).Do(req) // without a limit of time
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		return answered(resp, new(struct{}))
	}
	quiet := time.AfterFunc(silenceLimit, func() { cancel(fmt.Errorf("the server said nothing for %v", silenceLimit)) })
	defer quiet.Stop()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, messageLimit)
	kind := ""
	for lines.Scan() {
		quiet.Reset(silenceLimit)
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch string(name) {
		case "event":
			kind = string(value)
		case "data":
			if err := take(kind, value, each); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errors.New("the server ended"), lines.Err())
}

func take(kind string, data []byte, each func(Events) error) error {
	if kind != "events" {
		return nil
	}
	var events Events
	if err := json.Unmarshal(data, &events); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	return each(events)
}
