package main

import (
	"context"
	"fmt"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// An inventory is the real SMD, with so many machines.
type inventory struct {
	*dhcptest.SMDServer
	machines int
}

// newInventory starts an SMD on the server's loopback and fills it.
func newInventory(s *stage, pg *dhcptest.Postgres, port, machines int) *inventory {
	smd := dhcptest.StartSMD(s, pg, dhcptest.SMDOptions{Namespace: s.server, Listen: fmt.Sprintf("127.0.0.1:%d", port)})
	if err := smd.SQL(fmt.Sprintf(fill, machines-1)); err != nil {
		s.Fatal(err)
	}
	return &inventory{smd, machines}
}

// fill makes machines as SMD stores them: the n-th is node n+1, its MAC is that
// of the n-th client of a crowd and its address the n-th.
const fill = `
create temporary table machine as
select n, format('x%%sc%%ss%%sb%%sn%%s', 1000 + n / 2048, n / 256 %% 8, n / 4 %% 64, n / 2 %% 2, n %% 2) as id,
  '0200' || lpad(to_hex(n), 8, '0') as mac, host(inet '198.18.1.0' + n) as ip
from generate_series(0, %d) as n;
insert into components (id, type, state, flag, enabled, admin, role, subrole, nid, subtype, nettype, arch, class)
select id, 'Node', 'Ready', 'OK', true, '', 'Compute', '', n + 1, '', 'Sling', 'X86', 'River' from machine;
insert into comp_eth_interfaces (id, description, macaddr, last_update, compid, comptype, ip_addresses)
select mac, '', regexp_replace(mac, '(..)(?!$)', '\1:', 'g'), now(), id, 'Node',
  json_build_array(json_build_object('IPAddress', ip, 'Network', '')) from machine;
analyze;
`

// stir changes something every now and then, until stop is called: an inventory
// that is as it was costs a server hardly anything.
func (i *inventory) stir() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		tick := time.NewTicker(stirTime)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-tick.C:
			}
			if err := i.SQL(touch); err != nil {
				ended <- err
				return
			}
		}
	}()
	return func() error { cancel(); return <-ended }
}

const (
	stirTime = 500 * time.Millisecond
	touch    = `update comp_eth_interfaces set last_update = now() where id = '020000000000';`
)

// hostname is the name of a machine.
func hostname(n int) string { return fmt.Sprintf("nid%04d", n+1) }
