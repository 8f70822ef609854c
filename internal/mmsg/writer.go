package mmsg

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Message is what is sent: by UDP to an address, or as a frame by an interface.
type Message struct {
	Payload []byte
	To      netip.AddrPort // invalid: the payload is a link-layer frame
	Source  netip.Addr     // address of this host to send from; invalid: the kernel chooses
	Index   int            // of the interface to send by; 0: the kernel routes
}

// A Writer sends messages. It is for one goroutine at a time.
type Writer struct {
	file     *os.File
	raw      syscall.RawConn
	patience time.Duration
	headers  []header
	names    []name
	controls [][controlSize]byte
	iovecs   []unix.Iovec
}

// NewWriter returns a writer that sends up to so many messages by one call, and
// waits so long for room in a send queue that is full.
func NewWriter(file *os.File, batch int, patience time.Duration) (*Writer, error) {
	raw, err := file.SyscallConn()
	return &Writer{
		file: file, raw: raw, patience: patience,
		headers: make([]header, batch), names: make([]name, batch),
		controls: make([][controlSize]byte, batch), iovecs: make([]unix.Iovec, batch),
	}, err
}

// Send sends messages in their order until one cannot be sent. It returns how many
// were sent, and why the next was not; Full tells whether for want of room.
func (w *Writer) Send(messages []Message) (sent int, err error) {
	for sent < len(messages) {
		n, err := w.some(messages[sent:min(len(messages), sent+len(w.headers))])
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// Full says that Send found the send queue full.
func Full(err error) bool {
	return again(err) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, os.ErrDeadlineExceeded)
}

// some sends as many as one call takes.
func (w *Writer) some(messages []Message) (n int, err error) {
	for i := range messages {
		w.fill(i, &messages[i])
	}
	headers := w.headers[:len(messages)]
	if n, err = w.try(headers, false); !again(err) {
		return n, err
	}
	_ = w.file.SetWriteDeadline(time.Now().Add(w.patience))
	n, err = w.try(headers, true)
	_ = w.file.SetWriteDeadline(time.Time{})
	return n, err
}

// try sends, and waits for room if it may.
func (w *Writer) try(headers []header, wait bool) (n int, err error) {
	waited := w.raw.Write(func(fd uintptr) bool {
		n, err = call(unix.SYS_SENDMMSG, fd, headers)
		return !wait || !again(err)
	})
	if waited != nil {
		return 0, waited
	}
	return n, err
}

func (w *Writer) fill(i int, m *Message) {
	h := &w.headers[i]
	w.iovecs[i].Base = unsafe.SliceData(m.Payload)
	w.iovecs[i].SetLen(len(m.Payload))
	h.Iov = &w.iovecs[i]
	h.SetIovlen(1)
	h.Name = &w.names[i][0]
	h.Namelen = w.names[i].set(m)
	h.Control = nil
	length := w.control(i, m)
	h.SetControllen(length)
	if length > 0 {
		h.Control = &w.controls[i][0]
	}
}

// set writes the address of a message and returns its length.
func (b *name) set(m *Message) uint32 {
	*b = name{}
	a := m.To.Addr()
	binary.BigEndian.PutUint16(b[2:], m.To.Port())
	switch {
	case !m.To.IsValid(): // struct sockaddr_ll
		binary.NativeEndian.PutUint16(b[:], unix.AF_PACKET)
		binary.BigEndian.PutUint16(b[2:], unix.ETH_P_IP)
		binary.NativeEndian.PutUint32(b[4:], uint32(m.Index))
		return unix.SizeofSockaddrLinklayer
	case a.Is4():
		binary.NativeEndian.PutUint16(b[:], unix.AF_INET)
		four := a.As4()
		copy(b[4:], four[:])
		return unix.SizeofSockaddrInet4
	}
	binary.NativeEndian.PutUint16(b[:], unix.AF_INET6)
	sixteen := a.As16()
	copy(b[8:], sixteen[:])
	if a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() {
		binary.NativeEndian.PutUint32(b[24:], uint32(m.Index))
	}
	return unix.SizeofSockaddrInet6
}

// control writes the packet information of a message and returns its length.
func (w *Writer) control(i int, m *Message) int {
	if !m.To.IsValid() || m.Index == 0 && !m.Source.IsValid() {
		return 0
	}
	b := w.controls[i][:]
	clear(b)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	body := b[unix.CmsgLen(0):]
	if m.To.Addr().Is4() {
		h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		binary.NativeEndian.PutUint32(body, uint32(m.Index))
		if m.Source.Is4() {
			four := m.Source.As4()
			copy(body[4:], four[:])
		}
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	}
	h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	binary.NativeEndian.PutUint32(body[16:], uint32(m.Index))
	if m.Source.Is6() {
		sixteen := m.Source.As16()
		copy(body, sixteen[:])
	}
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}
