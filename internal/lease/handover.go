package lease

// Offers returns the addresses that are on offer, for the table of a process
// that takes this one's place. Expires is when the offer ends.
func (t *Table) Offers() []Lease {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	var offers []Lease
	for _, p := range t.pools {
		for _, s := range p.order {
			if s.owned && s.offer > now {
				offers = append(offers, t.show(s, s.offer))
			}
		}
	}
	return offers
}

// Restore makes the offers of another table again, for the time that they have
// left. It leaves out clients that have another address here, and addresses that
// somebody has.
func (t *Table) Restore(offers []Lease) {
	wall := t.opts.Now()
	now := wall.Sub(t.start)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range offers {
		left := min(o.Expires.Sub(wall), t.opts.OfferTime)
		if left <= 0 {
			continue
		}
		if s := t.room(o, now); s != nil {
			s.offer = now + left
			s.pool.settle(s, now)
		}
	}
}

// room returns the slot for an offer of another table; nil: there is none.
func (t *Table) room(o Lease, now tick) *slot {
	p := find(t.sorted, o.Addr)
	if p == nil {
		return nil
	}
	p.expire(now)
	s, own := p.slots[o.Addr], t.owned.of(o.Client)
	switch {
	case own != nil && own == s:
		return s
	case own != nil && own.until > now, s != nil && s.until > now:
		return nil
	case own != nil:
		t.disown(own)
	}
	if s == nil {
		s = p.add(o.Addr)
	}
	t.disown(s)
	s.clear()
	s.client, s.owned, s.hostname, s.past = o.Client, true, o.Hostname, None
	t.owned.set(s)
	return s
}
