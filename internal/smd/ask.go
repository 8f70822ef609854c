package smd

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/OpenCHAMI/smd/v2/pkg/sm"
)

// Pull returns what SMD says of a machine that Lookup did not find. It waits
// for Options.PullWait at most. Machines that are found stay in the cache.
func (c *Cache) Pull(mac MAC) (Finding, Pulled) {
	found := c.Lookup(mac)
	switch {
	case found.Known:
		return found, Found
	case c.puller == nil:
		return found, NotAsked
	}
	outcome := c.puller.pull(mac)
	return c.Lookup(mac), outcome
}

// A pulled machine is one that SMD was asked for since the last poll.
type pulled struct {
	*Machine
	asked time.Time
}

// question asks SMD for machines and enters what it has into the cache.
func (c *Cache) question(ctx context.Context, macs []MAC) (map[MAC]bool, Question) {
	began := time.Now()
	q := Question{Asked: len(macs)}
	asker := c.opts.Source.(Asker)
	body, err := asker.Interfaces(ctx, macs)
	if err != nil {
		q.Err = err
		return nil, q
	}
	all := Body{slices.Clone(body.pieces)}
	records, others, err := only(body, macs)
	switch {
	case err != nil:
		q.Err = err
		return nil, q
	case others:
		q.Unfiltered = true
		q.Err = c.takeAll(ctx, asker, all)
		return c.holds(macs), q
	}
	ix, err := join(ctx, asker, records)
	if err != nil {
		q.Err = err
		return nil, q
	}
	c.learn(ix, began)
	found := c.holds(macs)
	q.Found = len(found)
	return found, q
}

// only returns the interfaces with these MAC addresses, and whether there were
// others.
func only(body Body, macs []MAC) (records []sm.CompEthInterfaceV2, others bool, err error) {
	err = decodeInterfaces(body, func(record sm.CompEthInterfaceV2) {
		mac, err := ParseMAC(record.MACAddr)
		if err == nil && slices.Contains(macs, mac) {
			records = append(records, record)
			return
		}
		others = true
	}, func(int, sm.CompEthInterfaceV2, error) {})
	return records, others, err
}

// join makes an inventory of some interfaces, whose components it asks for, of
// BMCs also their first nodes.
func join(ctx context.Context, asker Asker, records []sm.CompEthInterfaceV2) (*indexer, error) {
	var ids []string
	add := func(id string) {
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, r := range records {
		add(r.CompID)
		if strings.HasSuffix(r.Type, "BMC") {
			add(r.CompID + "n0")
		}
	}
	components := make(map[string]component)
	if err := gather(ctx, asker, ids, components); err != nil {
		return nil, err
	}
	ix := newIndexer(components, nil)
	for _, r := range records {
		ix.add(r)
	}
	ix.adopt(nil)
	return ix, nil
}

// gather asks for components. SMD refuses a question with an id that is no
// xname: then each half is asked for by itself.
func gather(ctx context.Context, asker Asker, ids []string, into map[string]component) error {
	if len(ids) == 0 {
		return nil
	}
	body, err := asker.Components(ctx, ids)
	var refused *statusError
	if errors.As(err, &refused) && refused.code == http.StatusBadRequest {
		if len(ids) == 1 {
			return nil
		}
		half := len(ids) / 2
		return errors.Join(gather(ctx, asker, ids[:half], into), gather(ctx, asker, ids[half:], into))
	}
	if err != nil {
		return err
	}
	components, _, err := decodeComponents(body)
	if err != nil {
		return wrapComponents(err)
	}
	for _, id := range ids {
		if c, ok := components[id]; ok {
			into[id] = c
		}
	}
	return nil
}

// takeAll makes an answer that holds all interfaces a poll.
func (c *Cache) takeAll(ctx context.Context, asker Asker, interfaces Body) error {
	return c.enter(func(began time.Time) Poll {
		components, err := asker.Components(ctx, nil)
		if err != nil {
			return c.failed(err)
		}
		return c.take(ctx, Answer{interfaces, components}, began, false)
	})
}

// learn adds machines to the cache that SMD was asked for.
func (c *Cache) learn(ix *indexer, asked time.Time) {
	place(ix.index, c.serving())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pulled == nil && len(ix.index) > 0 {
		c.pulled, c.pulledAddrs = make(map[MAC]pulled), make(map[netip.Addr]MAC)
	}
	for mac, m := range ix.index {
		if _, polled := c.index[mac]; polled {
			continue
		}
		c.pulled[mac] = pulled{m, asked}
		for _, a := range m.Addrs {
			c.pulledAddrs[a] = mac
		}
	}
}

// place puts pulled machines behind the interfaces of their components that are
// in the inventory. The next poll may know better.
func place(pulled, index Index) {
	there := make(map[string]int, len(pulled))
	for _, m := range pulled {
		there[m.ID] = 0
	}
	for _, m := range index {
		if n, asked := there[m.ID]; asked {
			there[m.ID] = n + 1
		}
	}
	for _, m := range pulled {
		m.NIC += there[m.ID]
	}
}

// forget drops pulled machines that a poll knows better: it was begun after
// they were asked for. The caller holds mu.
func (c *Cache) forget(began time.Time) {
	for mac, p := range c.pulled {
		if p.asked.After(began) {
			continue
		}
		delete(c.pulled, mac)
		for _, a := range p.Addrs {
			if c.pulledAddrs[a] == mac {
				delete(c.pulledAddrs, a)
			}
		}
	}
}

// holds returns which of these machines are in the cache.
func (c *Cache) holds(macs []MAC) map[MAC]bool {
	found := make(map[MAC]bool)
	for _, mac := range macs {
		if c.Lookup(mac).Known {
			found[mac] = true
		}
	}
	return found
}
