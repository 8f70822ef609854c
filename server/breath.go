package server

import (
	"encoding/binary"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// breath is how many packets a worker takes at a stretch while more are there:
// about a millisecond's work.
const breath = 128

// A breather lets everything in this process go first that the network has
// something for: a file to be served, a question to be answered. On one core Go
// looks at the network when nobody has work, and else every ten milliseconds.
// A short sleep may be over before it looks.
type breather struct {
	file *os.File

	mu   sync.Mutex
	raw  syscall.RawConn // guarded by mu
	room [8]byte         // guarded by mu
}

func newBreather() (*breather, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	b := &breather{file: os.NewFile(uintptr(fd), "breather")}
	b.raw, err = b.file.SyscallConn()
	return b, err
}

// breathe waits for an event of the network that it causes itself: all that
// came before are found on the way there. It does nothing while somebody else
// does that.
func (b *breather) breathe() {
	if !b.mu.TryLock() {
		return
	}
	defer b.mu.Unlock()
	caused := false
	_ = b.raw.Read(func(fd uintptr) bool {
		if caused {
			_, _ = unix.Read(int(fd), b.room[:])
			return true
		}
		caused = true
		binary.NativeEndian.PutUint64(b.room[:], 1)
		_, err := unix.Write(int(fd), b.room[:])
		return err != nil
	})
}
