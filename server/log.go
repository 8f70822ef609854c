package server

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/process"
	prefixed "github.com/chappjc/logrus-prefix"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// levelNames are the values of --loglevel.
const levelNames = "none, debug, info, warning, error or fatal"

// levels has what logrus has for each of them but none.
var levels = map[string]logrus.Level{
	"debug":   logrus.DebugLevel,
	"info":    logrus.InfoLevel,
	"warning": logrus.WarnLevel,
	"error":   logrus.ErrorLevel,
	"fatal":   logrus.FatalLevel,
}

// flushLimit bounds the wait for the last lines.
const flushLimit = time.Second

// output is where log lines go: to stderr and to a file, each by a writer of
// its own.
type output struct {
	writers []*lineWriter
	file    *logFile // nil: none
}

// openLog has the logger write as the flags say.
func openLog(o options, log *logrus.Logger) (*output, error) {
	level, ok := levels[o.level]
	if !ok && o.level != "none" {
		return nil, fmt.Errorf("--loglevel %q: wanted %s", o.level, levelNames)
	}
	if o.format != "text" && o.format != "json" {
		return nil, fmt.Errorf("--log-format %q: wanted text or json", o.format)
	}
	log.SetLevel(level)            // of none: PanicLevel
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may end
	out := &output{}
	if err := out.openFile(o, log); err != nil {
		return nil, err
	}
	log.SetOutput(io.Discard)
	if !o.quiet && o.level != "none" {
		log.SetFormatter(formatter(o.format, isTerminal(os.Stderr)))
		log.SetOutput(out.writer(os.Stderr, log.Formatter))
	}
	process.Here().Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: "coredhcp", Name: "log_lines_lost_total",
		Help: "Log lines that could not be written in time. Nothing waits for the log.",
	}, out.lost))
	logrus.RegisterExitHandler(out.flush)
	return out, nil
}

// writer starts a writer of lines.
func (o *output) writer(to io.Writer, format logrus.Formatter) *lineWriter {
	w := newLineWriter(to, func(n uint64) []byte {
		line, err := format.Format(&logrus.Entry{
			Time: time.Now(), Level: logrus.WarnLevel, Data: logrus.Fields{"prefix": "log"},
			Message: fmt.Sprintf("%d log lines lost here: they could not be written in time", n),
		})
		if err != nil {
			return nil
		}
		return slices.Clone(line)
	})
	o.writers = append(o.writers, w)
	return w
}

// openFile has lines written to the log file as well.
func (o *output) openFile(opts options, log *logrus.Logger) error {
	if opts.file == "" {
		return nil
	}
	o.file = &logFile{path: opts.file}
	if err := o.file.open(); err != nil {
		return fmt.Errorf("--logfile: %w", err)
	}
	var format logrus.Formatter = &logrus.TextFormatter{DisableColors: true}
	if opts.format == "json" {
		format = formatter(opts.format, false)
	}
	log.AddHook(&fileHook{format: format, to: o.writer(o.file, format)})
	return nil
}

// reopen opens the log file anew: it was moved away.
func (o *output) reopen() error {
	if o.file == nil {
		return nil
	}
	return o.file.open()
}

func (o *output) lost() float64 {
	var n uint64
	for _, w := range o.writers {
		n += w.lost.Load()
	}
	return float64(n)
}

// flush waits for what was logged to be written, but not for long.
func (o *output) flush() {
	for _, w := range o.writers {
		w.flush(flushLimit)
	}
}

// isTerminal says that a human reads the lines as they come.
func isTerminal(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Control(func(fd uintptr) { _, failed = unix.IoctlGetTermios(int(fd), unix.TCGETS) })
	return err == nil && failed == nil
}

// formatter is that of lines on stderr.
func formatter(format string, terminal bool) logrus.Formatter {
	if format == "json" {
		return jsonFormatter{logrus.JSONFormatter{
			TimestampFormat: "2006-01-02T15:04:05.000000Z07:00",
			FieldMap:        logrus.FieldMap{logrus.FieldKeyMsg: "text"},
		}}
	}
	return &prefixed.TextFormatter{FullTimestamp: true, ForceFormatting: terminal, ForceColors: terminal}
}

// A jsonFormatter writes a line as an object. time, level, prefix and text are
// always there; the type of a DHCP message is msg.
type jsonFormatter struct{ logrus.JSONFormatter }

func (f jsonFormatter) Format(e *logrus.Entry) ([]byte, error) {
	shown := *e
	shown.Data = make(logrus.Fields, len(e.Data))
	for key, value := range e.Data {
		if key == "message" {
			key = "msg"
		}
		shown.Data[key] = value
	}
	shown.Time = e.Time.UTC()
	return f.JSONFormatter.Format(&shown)
}

// A fileHook writes each line to the log file.
type fileHook struct {
	format logrus.Formatter
	to     io.Writer
}

// Levels returns those that are written.
func (h *fileHook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire writes a line.
func (h *fileHook) Fire(e *logrus.Entry) error {
	shown := *e
	shown.Buffer = nil // in use for the other line
	line, err := h.format.Format(&shown)
	if err == nil {
		_, err = h.to.Write(line)
	}
	return err
}

// A logFile can be opened anew while it is written.
type logFile struct {
	path string
	f    swapped
}

func (l *logFile) open() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	l.f.swap(f)
	return nil
}

// Write writes to the file that was opened last.
func (l *logFile) Write(b []byte) (int, error) { return l.f.Write(b) }
