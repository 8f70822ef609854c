package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
)

// at is when all lines of these tests are from.
var at = time.Date(2026, 1, 1, 12, 0, 0, 5000, time.UTC)

func ownUp(n uint64) []byte { return fmt.Appendf(nil, "%d lost\n", n) }

// Nobody reads the pipe: whoever logs does not wait, and what finds no room is
// counted. Once somebody reads, the log says how many lines are missing.
func TestBlockedPipe(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lines := newLineWriter(w, ownUp)
	text := []byte(strings.Repeat("x", 199) + "\n")
	const sent = 3 * queueLines
	for range sent {
		if n, err := lines.Write(text); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	lost := lines.lost.Load()
	if lost < sent-queueLines-2*writeOctets/uint64(len(text)) || lost >= sent {
		t.Errorf("%d lines lost of %d", lost, sent)
	}
	lines.flush(time.Millisecond) // does not wait longer
	read := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		read <- string(b)
	}()
	lines.flush(time.Minute)
	w.Close()
	got := <-read
	whole := strings.Count(got, string(text))
	if uint64(whole)+lost != sent || lines.lost.Load() != lost {
		t.Errorf("%d lines, %d lost, %d sent", whole, lost, sent)
	}
	if said := strings.ReplaceAll(got, string(text), ""); said != fmt.Sprintf("%d lost\n", lost) {
		t.Errorf("the log says %q of %d", said, lost)
	}
}

// One long line does not push all others out of memory.
func TestLongLines(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	defer r.Close()
	lines := newLineWriter(w, ownUp)
	for range 3 * queueOctets >> 20 {
		_, _ = lines.Write(make([]byte, 1<<20))
	}
	if lost := lines.lost.Load(); lost < 2*queueOctets>>20 {
		t.Errorf("%d lines lost of %d", lost, 3*queueOctets>>20)
	}
}

// broken fails as long as it is told to.
type broken struct {
	bytes.Buffer
	err error
}

func (b *broken) Write(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return b.Buffer.Write(p)
}

// A disk that is full loses lines too.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := &broken{err: errors.New("no space left on device")}
	lines := newLineWriter(disk, ownUp)
	for range 2 {
		_, _ = io.WriteString(lines, "lost\n")
		lines.flush(time.Minute)
	}
	disk.err = nil
	_, _ = io.WriteString(lines, "kept\n")
	lines.flush(time.Minute)
	if diff := cmp.Diff("kept\n2 lost\n", disk.String()); diff != "" || lines.lost.Load() != 2 {
		t.Errorf("%d lost: %s", lines.lost.Load(), diff)
	}
}

// dhcpLine is the line of an exchange.
func dhcpLine(l *logrus.Logger) *logrus.Entry {
	e := l.WithTime(at).WithFields(logrus.Fields{
		"prefix": "plugins/coresmd", "mac": "02:00:00:00:00:01", "xid": "0xcafe0001", "message": "REQUEST", "state": "selecting",
		"id": "x3000c0s0b0n0", "type": "Node", "ip": "192.0.2.11", "giaddr": "198.51.100.1", "hostname": "nid0001",
		"bootfile": "undionly.kpxe", "reason": `a "reason"`,
	})
	return e
}

func TestFormats(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		format   string
		terminal bool
		want     string
	}{
		"json": {"json", false, `{"bootfile":"undionly.kpxe","giaddr":"198.51.100.1","hostname":"nid0001","id":"x3000c0s0b0n0","ip":"192.0.2.11","level":"info","mac":"02:00:00:00:00:01","msg":"REQUEST","prefix":"plugins/coresmd","reason":"a \"reason\"","state":"selecting","text":"ACK","time":"2026-01-01T12:00:00.000005Z","type":"Node","xid":"0xcafe0001"}
`},
		"text": {"text", false, `time="2026-01-01T12:00:00Z" level=info msg=ACK bootfile=undionly.kpxe giaddr=198.51.100.1 hostname=nid0001 id=x3000c0s0b0n0 ip=192.0.2.11 mac="02:00:00:00:00:01" message=REQUEST prefix="plugins/coresmd" reason="a "reason"" state=selecting type=Node xid=0xcafe0001
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			l := logrus.New()
			l.SetOutput(&out)
			l.SetFormatter(formatter(test.format, test.terminal))
			dhcpLine(l).Info("ACK")
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A human at a terminal gets colours and the form that is easier to read.
func TestTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := logrus.New()
	l.SetOutput(&out)
	l.SetFormatter(formatter("text", true))
	l.WithTime(at).WithField("prefix", "main").Info("hello")
	if want := "\x1b[0;90m[2026-01-01T12:00:00Z]\x1b[0m \x1b[0;32m INFO\x1b[0m\x1b[0;36m main:\x1b[0m hello\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// The file gets the lines of every level that is printed, and is written anew
// when it was moved away.
func TestLogFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "folder", "log")
	out, l := &output{}, logrus.New()
	l.SetOutput(io.Discard)
	if err := out.openFile(options{file: path, format: "json"}, l); err != nil {
		t.Fatal(err)
	}
	dhcpLine(l).Info("first")
	out.flush()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	dhcpLine(l).Debug("not printed")
	dhcpLine(l).Warn("second")
	out.flush()
	if err := out.reopen(); err != nil {
		t.Fatal(err)
	}
	dhcpLine(l).Error("third")
	out.flush()
	for name, want := range map[string][]string{path + ".1": {`"text":"first"`, `"text":"second"`}, path: {`"text":"third"`}} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		if len(lines) != len(want) {
			t.Fatalf("%s: %q", name, b)
		}
		for i, part := range want {
			if !strings.Contains(lines[i], part) {
				t.Errorf("%s: no %s in %s", name, part, lines[i])
			}
		}
	}
	err := (&output{}).openFile(options{file: filepath.Join(path, "log")}, l)
	if want := "--logfile: mkdir " + path + ": not a directory"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestOpenLogMistakes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		o    options
		want string
	}{
		{options{level: "loud", format: "text"}, `--loglevel "loud": wanted none, debug, info, warning, error or fatal`},
		{options{level: "info", format: "xml"}, `--log-format "xml": wanted text or json`},
	} {
		if _, err := openLog(test.o, logrus.New()); err == nil || err.Error() != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}
