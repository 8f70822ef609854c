// Package mmsg receives and sends datagrams in batches, recvmmsg(2) and
// sendmmsg(2), on sockets for UDP and for link-layer frames. It makes no garbage:
// golang.org/x/net makes two objects for each packet that it receives, and has
// nothing for frames.
package mmsg

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A header is struct mmsghdr: a message, and how much of it was moved.
type header struct {
	unix.Msghdr
	n uint32
	_ [unsafe.Sizeof(uintptr(0)) - 4]byte
}

// A name is room for the address of any socket used here.
type name [unix.SizeofSockaddrInet6]byte

// controlSize is room for the packet information of either family.
const controlSize = 64

// call moves messages; it returns how many, or why not even the first. It never
// waits, so the scheduler is not told: it would give the processor away during a
// long batch, and watch for that every 20 microseconds.
func call(trap, fd uintptr, headers []header) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// again says that a call would have to wait.
func again(err error) bool { return errors.Is(err, unix.EAGAIN) }

// A Reader receives datagrams. It is for one goroutine at a time.
type Reader struct {
	raw      syscall.RawConn
	headers  []header
	names    []name
	controls [][controlSize]byte
	data     [][]byte
}

// NewReader returns a reader of batches of datagrams up to a size. The memory of
// a datagram is not touched before one as long arrives.
func NewReader(raw syscall.RawConn, batch, size int) *Reader {
	r := &Reader{
		raw:     raw,
		headers: make([]header, batch), names: make([]name, batch),
		controls: make([][controlSize]byte, batch), data: make([][]byte, batch),
	}
	iovecs := make([]unix.Iovec, batch)
	for i := range r.headers {
		r.data[i] = make([]byte, size)
		iovecs[i].Base = &r.data[i][0]
		iovecs[i].SetLen(size)
		h := &r.headers[i]
		h.Name, h.Iov, h.Control = &r.names[i][0], &iovecs[i], &r.controls[i][0]
		h.SetIovlen(1)
	}
	return r
}

// Read waits for datagrams and returns how many it got, and whether there were
// some without waiting. They are valid until the next Read.
func (r *Reader) Read() (n int, atOnce bool, err error) {
	atOnce = true
	for i := range r.headers {
		r.headers[i].Namelen = unix.SizeofSockaddrInet6
		r.headers[i].SetControllen(controlSize)
	}
	waited := r.raw.Read(func(fd uintptr) bool {
		n, err = call(unix.SYS_RECVMMSG, fd, r.headers)
		atOnce = atOnce && !again(err)
		return !again(err)
	})
	if waited != nil {
		return 0, false, waited
	}
	return n, atOnce, err
}

// A Datagram is what was received.
type Datagram struct {
	Payload   []byte
	From      netip.AddrPort
	Dst       netip.Addr // where it was sent to
	Index     int        // of the receiving interface
	Truncated bool       // it was longer
}

// Datagram returns the i-th of those that Read got.
func (r *Reader) Datagram(i int) Datagram {
	h := &r.headers[i]
	d := Datagram{Payload: r.data[i][:h.n], From: r.names[i].addr(h.Namelen), Truncated: h.Flags&unix.MSG_TRUNC != 0}
	d.Index, d.Dst = packetInfo(r.controls[i][:min(int(h.Controllen), controlSize)])
	return d
}

// addr reads an address as recvmsg(2) wrote it.
func (b *name) addr(length uint32) netip.AddrPort {
	port := binary.BigEndian.Uint16(b[2:])
	switch family := binary.NativeEndian.Uint16(b[:]); {
	case family == unix.AF_INET && length >= unix.SizeofSockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port)
	case family == unix.AF_INET6 && length >= unix.SizeofSockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port)
	}
	return netip.AddrPort{}
}

// packetInfo reads the receiving interface and the address sent to out of control
// messages.
func packetInfo(b []byte) (index int, dst netip.Addr) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		length := int(h.Len)
		if length < unix.SizeofCmsghdr || length > len(b) {
			return index, dst
		}
		body := b[unix.CmsgLen(0):length]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(body) >= unix.SizeofInet4Pktinfo:
			return int(binary.NativeEndian.Uint32(body)), netip.AddrFrom4([4]byte(body[8:12]))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(body) >= unix.SizeofInet6Pktinfo:
			return int(binary.NativeEndian.Uint32(body[16:])), netip.AddrFrom16([16]byte(body[:16]))
		}
		b = b[min(unix.CmsgSpace(len(body)), len(b)):]
	}
	return index, dst
}
