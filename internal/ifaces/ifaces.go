// Package ifaces knows the network interfaces of this host and their addresses,
// and learns of changes by netlink(7).
package ifaces

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An Interface is one network interface. It is not to be written to.
type Interface struct {
	net.Interface
	Networks []netip.Prefix // its addresses with their prefix lengths
}

// A state is all interfaces at one time; it is never written to.
type state struct {
	byIndex map[int]Interface
	local   map[netip.Addr]bool
}

// A Table is the interfaces of this host.
type Table struct {
	state atomic.Pointer[state]
	bell  *os.File // rings at every change
}

// Open reads the interfaces, and subscribes to what changes from then on.
func Open() (*Table, error) {
	fd, err := subscribe()
	if err != nil {
		return nil, fmt.Errorf("subscribing to changes of interfaces: %w", err)
	}
	t := &Table{bell: os.NewFile(uintptr(fd), "netlink")}
	if err := t.read(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// subscribe returns a socket that receives a message about every change.
func subscribe() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

// Close ends the subscription.
func (t *Table) Close() error { return t.bell.Close() }

// Index returns the interface of an index.
func (t *Table) Index(index int) (Interface, bool) {
	i, ok := t.state.Load().byIndex[index]
	return i, ok
}

// Name returns the interface of a name.
func (t *Table) Name(name string) (Interface, bool) {
	for _, i := range t.state.Load().byIndex {
		if i.Name == name {
			return i, true
		}
	}
	return Interface{}, false
}

// All returns the interfaces by index.
func (t *Table) All() map[int]Interface { return t.state.Load().byIndex }

// Local says that an address is one of this host's.
func (t *Table) Local(a netip.Addr) bool { return t.state.Load().local[a] }

// gather is how long a change waits for those that come with it.
const gather = 20 * time.Millisecond

// Watch reads the interfaces again after every change, and tells the caller,
// until ctx ends.
func (t *Table) Watch(ctx context.Context, changed func(error)) {
	end := context.AfterFunc(ctx, func() { _ = t.bell.SetReadDeadline(time.Unix(1, 0)) })
	defer end()
	_ = t.bell.SetReadDeadline(time.Time{})
	for ctx.Err() == nil {
		if !t.rung() {
			return
		}
		pause(ctx, gather)
		t.drain()
		changed(t.read())
	}
}

func pause(ctx context.Context, d time.Duration) {
	wait, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-wait.Done()
}

// rung waits for a change; it returns false when the deadline is past. What the
// messages say does not matter, nor does it when some were lost.
func (t *Table) rung() bool {
	var room [4096]byte
	_, err := t.bell.Read(room[:])
	return err == nil || errors.Is(err, unix.ENOBUFS)
}

// drain takes what else has come.
func (t *Table) drain() {
	raw, err := t.bell.SyscallConn()
	if err != nil {
		return
	}
	var room [4096]byte
	_ = raw.Control(func(fd uintptr) {
		for range 10000 {
			if _, err := unix.Read(int(fd), room[:]); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return
			}
		}
	})
}

// read reads all interfaces and addresses.
func (t *Table) read() error {
	links, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("reading the interfaces: %w", err)
	}
	s := &state{byIndex: make(map[int]Interface, len(links)), local: make(map[netip.Addr]bool)}
	for _, link := range links {
		s.byIndex[link.Index] = Interface{Interface: link}
	}
	answer, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("reading the addresses of interfaces: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return fmt.Errorf("reading the addresses of interfaces: %w", err)
	}
	for i := range messages {
		s.add(&messages[i])
	}
	t.state.Store(s)
	return nil
}

// add adds the address of an RTM_NEWADDR message, rtnetlink(7).
func (s *state) add(m *syscall.NetlinkMessage) {
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if m.Header.Type != syscall.RTM_NEWADDR || err != nil || len(m.Data) < syscall.SizeofIfAddrmsg {
		return
	}
	index := int(binary.NativeEndian.Uint32(m.Data[4:]))
	var address, local netip.Addr
	for _, a := range attributes {
		switch a.Attr.Type {
		case syscall.IFA_ADDRESS: // of the peer, on a point-to-point interface
			address, _ = netip.AddrFromSlice(a.Value)
		case syscall.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(a.Value)
		}
	}
	if local.IsValid() {
		address = local
	}
	link, ok := s.byIndex[index]
	if !ok || !address.IsValid() {
		return
	}
	link.Networks = append(link.Networks, netip.PrefixFrom(address, int(m.Data[1])))
	s.byIndex[index] = link
	s.local[address] = true
}
